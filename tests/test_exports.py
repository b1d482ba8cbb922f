"""What can be imported from `natsrpc`, and that the lists of public names are in order."""

from __future__ import annotations

import importlib

import pytest

import natsrpc
import natsrpc.core
import natsrpc.errors

PROMISED = [
    "Client",
    "Codec",
    "ConnectOptions",
    "Connection",
    "ConnectionEvent",
    "Context",
    "Depends",
    "Embed",
    "Encoded",
    "Header",
    "Headers",
    "Lifespan",
    "Middleware",
    "Msg",
    "MsgCallback",
    "Next",
    "Options",
    "Payload",
    "RpcError",
    "RunningService",
    "Service",
    "Statistics",
    "Subscription",
    "Token",
    "connect",
    "no_deadline",
    "run",
]
FACES = [
    "natsrpc",
    "natsrpc.codecs",
    "natsrpc.core",
    "natsrpc.durable",
    "natsrpc.jetstream",
    "natsrpc.rpc",
    "natsrpc.testing",
]


@pytest.mark.parametrize("name", PROMISED)
def test_promised_name_is_public(name: str) -> None:
    assert hasattr(natsrpc, name)
    assert name in natsrpc.__all__


def test_every_error_is_public() -> None:
    errors = {
        name
        for name, value in vars(natsrpc.errors).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    assert errors - set(natsrpc.__all__) == set()


@pytest.mark.parametrize("face", FACES)
def test_public_names_are_sorted_and_there(face: str) -> None:
    module = importlib.import_module(face)
    # ruff's order: constants, then classes, then functions
    kinds = [(not n.isupper() if len(n) > 1 else True, not n[:1].isupper()) for n in module.__all__]
    assert kinds == sorted(kinds)
    assert len(set(module.__all__)) == len(module.__all__)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_codecs_are_reached_by_the_package() -> None:
    assert natsrpc.codecs.get("json").name == "json"
