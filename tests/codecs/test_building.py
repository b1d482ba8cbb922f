"""Types that are bound in one thread while another forks the process."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest

from natsrpc import codecs

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_waits_for_a_type_that_is_being_built() -> None:
    codecs.get("json")  # its lock is taken after what is registered below
    building, forking, built = threading.Event(), threading.Event(), threading.Event()

    made: list[type] = []

    class Slow:
        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
            building.set()
            forking.wait(10)
            time.sleep(0.05)  # why: a fork that does not wait is over by then
            made.append(cls)
            return handler(int)

    def build() -> None:
        codecs.get("json").bind(Slow)
        built.set()

    def built_at_all() -> bool:
        """In the child: nobody was amid it, and another type can be built."""
        codecs.get("json").bind(dict[str, list[int]])
        return made == [Slow]

    os.register_at_fork(before=forking.set)
    thread = threading.Thread(target=build)
    thread.start()
    assert building.wait(10)
    child = os.fork()
    if child == 0:
        signal.alarm(5)  # where it would wait for ever
        os._exit(0 if built_at_all() else 1)
    assert built.wait(10)
    assert os.waitpid(child, 0)[1] == 0
    thread.join()
