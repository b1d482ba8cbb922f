"""Seeing each bytecode instruction that the interpreter executes: the counts are exact.

3.11 has `sys.settrace` for it, whose place a debugger or coverage may hold. From 3.12 on there is
`sys.monitoring`, which several may use at a time; there, `sys.settrace` is no choice: on 3.13.0 it
leaves out whole functions.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, TypeAlias

Seen: TypeAlias = "tuple[Counter[CodeType], Counter[CodeType]]"
"""How many instructions of each function were executed, and how often it was called or resumed."""


def hindrance() -> str | None:
    """Why counts of instructions or memory cannot be had now, or would not be the usual ones."""
    if sys.implementation.name != "cpython":
        return f"budgets are CPython's, this is {sys.implementation.name}"
    if asyncio.get_running_loop().get_debug():
        return "asyncio is in debug mode, which executes more"
    tracer = sys.gettrace()
    if tracer is not None:
        kind = type(tracer)
        name = getattr(tracer, "__qualname__", f"{kind.__module__}.{kind.__qualname__}")
        return f"a trace function is set, as coverage and debuggers do: {name}"
    if sys.version_info >= (3, 12):
        tool = sys.monitoring.get_tool(sys.monitoring.PROFILER_ID)
        return f"a profiler is active: {tool}" if tool else None
    return None


if sys.version_info >= (3, 12):

    @contextmanager
    def instructions_seen(besides: CodeType) -> Iterator[Seen]:
        """Count what this thread executes, `besides` one function."""
        executed: Counter[CodeType] = Counter()
        called: Counter[CodeType] = Counter()
        thread, current = threading.get_ident(), threading.get_ident

        def on_instruction(code: CodeType, offset: int) -> None:
            if code is not besides and current() == thread:
                executed[code] += 1

        def on_call(code: CodeType, offset: int) -> None:
            if code is not besides and current() == thread:
                called[code] += 1

        monitoring = sys.monitoring
        tool, events = monitoring.PROFILER_ID, monitoring.events
        monitoring.use_tool_id(tool, "natsrpc tests")
        try:
            monitoring.register_callback(tool, events.INSTRUCTION, on_instruction)
            monitoring.register_callback(tool, events.PY_START, on_call)
            monitoring.register_callback(tool, events.PY_RESUME, on_call)
            monitoring.set_events(tool, events.INSTRUCTION | events.PY_START | events.PY_RESUME)
            yield executed, called
        finally:
            monitoring.set_events(tool, events.NO_EVENTS)
            monitoring.free_tool_id(tool)

else:

    @contextmanager
    def instructions_seen(besides: CodeType) -> Iterator[Seen]:
        """Count what this thread executes, `besides` one function."""
        executed: Counter[CodeType] = Counter()
        called: Counter[CodeType] = Counter()

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            if event == "opcode":
                executed[frame.f_code] += 1
            elif event == "call":
                if frame.f_code is besides:
                    return None
                called[frame.f_code] += 1
                frame.f_trace_lines = False
                frame.f_trace_opcodes = True
            return trace

        sys.settrace(trace)
        try:
            yield executed, called
        finally:
            sys.settrace(None)
