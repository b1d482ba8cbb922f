"""What only workers are given, and what those of several messages cannot be given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from natsrpc.core import Msg
from natsrpc.errors import ConfigError

from ..contract import Context
from .annotations import parameters
from .layers import describe
from .markers import HeaderMarker, TokenMarker
from .places import located
from .plan import CallPlan, all_dependencies
from .sources import Source, token_of


@dataclass(frozen=True, slots=True)
class OfWork:
    """A reader of what only a worker is given: with `batch`, one that takes several messages."""

    read: Source
    batch: bool = False

    def __call__(self, context: Context) -> Any:
        """Read it."""
        return self.read(context)


def check_work(call_plan: CallPlan, *, is_worker: bool, batch: bool) -> None:
    """Refuse a function that asks for what only a worker, or only one of another sort, is given.

    Raises:
        ConfigError: it does.
    """
    sources = list(call_plan.sources)
    for each in all_dependencies(call_plan.dependencies):
        sources += each.sources
    for name, reader in sources:
        if not isinstance(reader, OfWork) or (is_worker and reader.batch is batch):
            continue
        if not is_worker:
            text = "only a worker has a Delivery; remove it, or serve this with @service.worker"
        elif batch:
            text = "a batch has several: write 'deliveries: list[natsrpc.Delivery]'"
        else:
            text = "it is given one message at a time: write 'delivery: natsrpc.Delivery'"
        with located(call_plan.function):
            raise ConfigError(f"parameter {name!r} of {call_plan.name!r}: {text}")


def check_batch(call_plan: CallPlan, tokens: dict[str, int]) -> None:
    """Refuse what is read from one message, where there are several.

    Raises:
        ConfigError: the function, or one that it depends on, reads such a thing.
    """
    functions = [each.function for each in all_dependencies(call_plan.dependencies)]
    for function in (call_plan.function, *functions):
        parameter = _of_one_message(function, tokens)
        if parameter is not None:
            raise ConfigError(
                f"parameter {parameter!r} of {describe(function)!r} is read from one message, and "
                f"worker {call_plan.name!r} takes several at once: read it from each of "
                "'deliveries: list[natsrpc.Delivery]'"
            )


def _of_one_message(function: Callable[..., Any], tokens: dict[str, int]) -> str | None:
    """The parameter that is read from a message's headers or subject, or is the message."""
    for each in parameters(function)[0]:
        is_marked = isinstance(each.marker, HeaderMarker | TokenMarker)
        if is_marked or each.type is Msg or token_of(each, tokens) is not None:
            return each.name
    return None
