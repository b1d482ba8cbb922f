"""`natsrpc stub`: the module it writes is formatted, typed, and calls the service."""

from __future__ import annotations

import asyncio
import datetime as dt
import importlib.util
import json
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import natsrpc
from natsrpc.describe import document, typescript
from natsrpc.testing import NatsServer
from tests.core.harness import eventually
from tests.describe.wide import service, taken
from tests.typing.checkers import pyright_command

from .processes import ROOT, environment, run_command

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stub") / "wide_client.py"


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[natsrpc.Client]:
    async with natsrpc.connect(nats_server.url) as client, client.serve(service):
        yield client


@pytest.fixture
async def module(client: natsrpc.Client, path: Path) -> ModuleType:
    """The module, written from what the live service tells of itself."""
    if path.stem not in sys.modules:
        url = client.connection.connected_url
        code, out, err = await asyncio.to_thread(
            run_command, "stub", "wide-world", "-o", str(path), "-s", str(url)
        )
        assert (code, out, err) == (0, "", f"wrote {path}\n")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        found = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    return sys.modules[path.stem]


def everything(module: ModuleType, **fields: Any) -> Any:
    given = {
        "when": dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
        "day": dt.date(2026, 1, 2),
        "at": dt.time(3, 4),
        "took": dt.timedelta(seconds=90),
        "uid": uuid.UUID(int=7),
        "price": Decimal("12.50"),
        "blob": b"\xfb\xff\x00",
        "anything": {"a": [1, None]},
        "maybe": None,
        "pet": module.Dog(kind="dog", friend=module.Cat(kind="cat")),
        "level": module.Level(2),
        "extra": {"x": 1},
        "class_": "abc",
        "json_": "j",
        "big": 3,
        "pair": (1, module.Node(value=3, children=[module.Node(value=4)])),
        "many": [1, 2, 3],
        "by_id": {"7": module.Color.DARK_BLUE},
        "names": ["n"],
        **fields,
    }
    return module.Everything(**given)


@pytest.mark.once
async def test_module_is_formatted_and_typed(module: ModuleType, path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy and ruff are in the extra dev")

    def check(*command: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", *command, str(path)],
            cwd=path.parent,
            env=environment(MYPY_CACHE_DIR=str(ROOT / ".mypy_cache" / "stub")),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    await asyncio.to_thread(check, "ruff", "format", "--isolated", "--check")
    await asyncio.to_thread(check, "ruff", "check", "--isolated", "--select=E,F,I,N,UP,B,SIM,RUF")
    await asyncio.to_thread(check, "mypy", "--strict")


@pytest.mark.once
async def test_module_satisfies_pyright(module: ModuleType, path: Path) -> None:
    pytest.importorskip("mypy", reason="type checkers run where the extra dev is installed")
    config = {"include": ["."], "extraPaths": [str(ROOT)], "typeCheckingMode": "strict"}
    (path.parent / "pyrightconfig.json").write_text(json.dumps(config), "utf-8")
    command = [*pyright_command(), "--project", str(path.parent)]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=100, check=False
    )
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] == 1
    assert found["generalDiagnostics"] == []


async def test_every_kind_of_value_comes_back_as_it_went(
    client: natsrpc.Client, module: ModuleType
) -> None:
    world = module.WideWorld(client)
    sent = everything(module)
    answer = await world.everything(sent)
    assert isinstance(answer, module.EverythingReply)
    left_to_the_service = {"made"}
    assert answer.model_dump(exclude=left_to_the_service) == sent.model_dump(
        exclude=left_to_the_service
    )
    assert answer.made == "here"
    assert answer.list_ == [1, 2]
    assert answer.color is module.Color.RED
    assert answer.home == module.Node(value=1)
    assert answer.since == dt.date(2020, 1, 1)


async def test_errors_are_the_classes_of_the_module(
    client: natsrpc.Client, module: ModuleType
) -> None:
    world = module.WideWorld(client)
    with pytest.raises(module.OutOfStock, match="none") as caught:
        await world.everything(everything(module, class_="again"))
    assert (caught.value.sku, caught.value.near) == ("A-7", [module.Node(value=2)])
    with pytest.raises(module.NoLongerThere) as gone:
        await world.gone()
    assert gone.value.code == 410


async def test_arguments_are_parameters_and_defaults_the_service_s(
    client: natsrpc.Client, module: ModuleType
) -> None:
    world = module.WideWorld(client)
    assert await world.add(1) == "3 dark-blue 1.5 None"
    assert await world.add(1, b=5, color=module.Color.RED, timeout_=2.0, tags=["a"]) == (
        "6 red 2.0 ['a']"
    )


async def test_tokens_headers_and_bytes(client: natsrpc.Client, module: ModuleType) -> None:
    world = module.WideWorld(client)
    assert await world.get_it(0, user="me") is None
    (found,) = await world.get_it(3, user="me")
    assert (found.a, found.by) == (3, "me")
    assert await world.header(headers={"Who": "I"}) == "I"
    assert await world.raw(b"abc") == b"cba"
    assert await world.nothing() is None


async def test_methods_named_like_types_and_keywords(
    client: natsrpc.Client, module: ModuleType
) -> None:
    world = module.WideWorld(client)
    assert await world.list_(module.Partial()) == module.Data(a=-1)
    assert await world.list_(module.Partial(there=3)) == module.Data(a=3)
    assert await world.import_(module.Data(a=4)) == module.Partial(there=4)
    assert await world.import_(module.Data(a=4, b="")) == module.Partial()
    assert await world.level(module.Level(1)) is module.Level(1)
    assert await world.many({"a": [module.Node(value=1)], "b": []}) == (2, "a,b")


async def test_streams(client: natsrpc.Client, module: ModuleType) -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in range(4):
            yield number

    world = module.WideWorld(client)
    assert [node.value async for node in world.ticks(3)] == [1, 2, 3]
    assert await world.sum(numbers()) == 6
    assert [text async for text in world.both(numbers())] == ["0", "1", "2", "3"]


async def test_events(client: natsrpc.Client, module: ModuleType) -> None:
    await client.publish(module.WIDE_MOVED, module.Node(value=3), tokens={"where": "up"})
    counted = module.WideCountedEvent(n=1, tags=["a"])
    await client.publish(module.WIDE_COUNTED, counted, tokens={"by": "me"})
    await eventually(lambda: len(taken) == 2)
    assert sorted(map(str, taken)) == ["(1, ['a'])", "(3, 'up')"]
    assert module.WIDE_MOVED.description == "A node has moved."
    assert "Color" in str(module.WIDE_UNREAD.type)


async def test_values_are_checked_before_they_are_sent(module: ModuleType) -> None:
    with pytest.raises(ValueError, match="less than or equal to 10"):
        module.Node(value=11)


async def test_what_cannot_be_called_is_left_out(path: Path, module: ModuleType) -> None:
    assert not hasattr(module.WideWorld, "any")
    assert "Left out, because a call or an event needs one subject: any.*" in path.read_text(
        "utf-8"
    )


async def test_the_same_contract_is_written_in_typescript(
    client: natsrpc.Client, tmp_path: Path
) -> None:
    url = str(client.connection.connected_url)
    command = ("stub", "wide-world", "--lang", "typescript", "-s", url)
    code, out, err = await asyncio.to_thread(run_command, *command)
    assert (code, err) == (0, "")
    assert out == typescript(document(service.contract))
    output = str(tmp_path / "wide.ts")
    code, out, err = await asyncio.to_thread(run_command, *command, "-o", output)
    assert (code, out, err) == (0, "", f"wrote {output}\n")


def test_a_language_that_is_not_known_is_named() -> None:
    code, out, err = run_command("stub", "wide-world", "--lang", "cobol")
    assert (code, out) == (2, "")
    assert "typescript" in err


def test_unreachable_service_is_one_line() -> None:
    code, out, err = run_command("stub", "wide-world", "-s", "nats://127.0.0.1:1")
    assert (code, out, err.count("\n")) == (1, "", 1)
