"""`sync.connect`: at once or at the first use, and what is refused."""

from __future__ import annotations

import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_type_hints

import pytest

import natsrpc
import natsrpc.sync
from natsrpc.errors import ConfigError, ConnectionClosedError, NoServersError, UnknownCodecError
from natsrpc.testing import NatsServer

from .desk import add

NOBODY = "nats://127.0.0.1:1"


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "natsrpc-sync"]


def test_it_connects_at_once_and_says_where_it_cannot() -> None:
    with pytest.raises(NoServersError):
        natsrpc.sync.connect(NOBODY)
    assert threads() == []


def test_a_lazy_client_connects_when_it_is_used() -> None:
    client = natsrpc.sync.connect(NOBODY, lazy=True)
    assert threads() == []
    assert repr(client) == "<sync.Client, not connected>"
    for _ in range(2):
        with pytest.raises(NoServersError):
            client.call("desk.add", {"a": 1})
    with pytest.raises(NoServersError), client:
        pass
    client.close()
    with pytest.raises(ConnectionClosedError):
        client.call("desk.add", {"a": 1})
    assert threads() == []


def test_threads_that_use_a_lazy_client_at_once_share_a_connection(url: str) -> None:
    together = threading.Barrier(8)
    client = natsrpc.sync.connect(url, lazy=True)

    def work(number: int) -> int:
        together.wait()
        return client.call(add, {"a": number, "b": 0})

    before = len(threads())
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == list(range(8))
    assert len(threads()) - before == 1
    client.close()


def test_policy_and_middleware_of_a_lazy_client_hold_when_it_is_connected(url: str) -> None:
    client = natsrpc.sync.connect(url, lazy=True)
    called: list[str] = []

    @client.middleware
    async def note(call: natsrpc.Call, call_next: natsrpc.Next[natsrpc.Call]) -> Any:
        called.append(threading.current_thread().name)
        return await call_next(call)

    client.policy = policy = natsrpc.Policy(attempts=2)
    with client:
        assert client.call(add, {"a": 1}) == 3
        assert client.policy is policy
    assert called == ["natsrpc-sync"]


def test_what_is_wrong_is_refused_where_it_is_written() -> None:
    wrong: list[tuple[type[Exception], dict[str, Any]]] = [
        (UnknownCodecError, {"codec": "yaml"}),
        (ConfigError, {"pong_interval": 1.0}),
        (ConfigError, {"ping_interval": "soon"}),
        (ConfigError, {"deadline_clock": "moon"}),
        (ConfigError, {"open_timeout": 0}),
        (ConfigError, {"servers": NOBODY, "options": natsrpc.Options()}),
    ]
    for error, options in wrong:
        with pytest.raises(error):
            natsrpc.sync.connect(**{"lazy": True, **options})
    assert threads() == []


@pytest.mark.live
def test_options_are_those_of_the_async_client(nats_server: NatsServer) -> None:
    options = natsrpc.Options.of({"servers": nats_server.url, "name": "made before"})
    connected = threading.Event()
    with natsrpc.sync.connect(options=options, codec="msgpack") as client:
        assert "codec=msgpack" in repr(client) and "made before" in repr(client)
    with natsrpc.sync.connect(nats_server.url, on_connect=lambda _: connected.set()):
        assert connected.wait(10)


def test_the_signature_is_that_of_the_async_one() -> None:
    mine = dict(inspect.signature(natsrpc.sync.connect).parameters)
    lazy = mine.pop("lazy")
    assert (lazy.default, lazy.kind) == (False, lazy.KEYWORD_ONLY)
    assert list(mine.values()) == list(inspect.signature(natsrpc.connect).parameters.values())
    hints = get_type_hints(natsrpc.sync.connect)
    theirs = get_type_hints(natsrpc.connect)
    assert {name: hints[name] for name in theirs if name != "return"} == {
        name: hint for name, hint in theirs.items() if name != "return"
    }
