"""Log lines that name the request they are about."""

from __future__ import annotations

import json
import logging
import queue
import sys
import threading
from collections.abc import Iterator
from logging.handlers import QueueHandler, QueueListener
from typing import Any

import pytest

import natsrpc
from natsrpc.observe.logs import JsonFormatter, RequestFields, TextFormatter, fields_of
from natsrpc.testing import NatsServer


class Lines(logging.Handler):
    """Keeps the lines that are written."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    logger = logging.getLogger("test.logs")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    logger.handlers.clear()


def service_of(log: logging.Logger) -> natsrpc.Service:
    service = natsrpc.Service("shop", version="1.0.0")

    @service.handler("shop.say", name="say")
    async def say(text: str) -> None:
        log.info(text)

    return service


async def test_outside_of_a_request_there_are_no_fields(log: logging.Logger) -> None:
    lines = Lines(JsonFormatter())
    log.addHandler(lines)
    log.info("hello %s", "you")
    line = json.loads(lines.lines[0])
    assert line.keys() == {"time", "level", "logger", "message", "pid"}
    assert line["message"] == "hello you"


async def test_inside_one_they_name_it(log: logging.Logger) -> None:
    lines = Lines(JsonFormatter())
    log.addHandler(lines)
    async with service_of(log).test() as client:
        await client.call("shop.say", "hello", headers={"X-Request-Id": "7"})
        await client.call("shop.say", "hello")
    first, second = map(json.loads, lines.lines)
    assert (first["service"], first["endpoint"], first["request_id"]) == ("shop", "say", "7")
    assert "request_id" not in second


async def test_they_reach_a_handler_in_another_thread(log: logging.Logger) -> None:
    lines = Lines(JsonFormatter())
    between: queue.Queue[Any] = queue.Queue()
    handler = QueueHandler(between)
    handler.addFilter(RequestFields())
    log.addHandler(handler)
    listener = QueueListener(between, lines)
    listener.start()
    async with service_of(log).test() as client:
        await client.call("shop.say", "hello", headers={"X-Request-Id": "7"})
    listener.stop()
    assert json.loads(lines.lines[0])["request_id"] == "7"


async def test_background_work_of_a_request_is_named_after_it(log: logging.Logger) -> None:
    lines = Lines(TextFormatter())
    log.addHandler(lines)
    service = natsrpc.Service("shop", version="1.0.0")
    done = threading.Event()

    @service.handler("shop.work", name="work")
    def work() -> None:
        with natsrpc.no_deadline():
            log.info("late")
        done.set()

    async with service.test() as client:
        await client.call("shop.work", headers={"X-Request-Id": 'a "b"'})
    assert done.is_set()
    assert lines.lines[0].endswith(
        r'test.logs: late [service=shop endpoint=work request_id="a \"b\""]'
    )


async def test_a_bad_traceparent_is_no_trace(log: logging.Logger) -> None:
    lines = Lines(JsonFormatter())
    log.addHandler(lines)
    async with service_of(log).test() as client:
        for value in ("nonsense", f"00-{'A' * 32}-{'b' * 16}-01", f"00-{'a' * 32}-{'b' * 16}-01"):
            await client.call("shop.say", "x", headers={"traceparent": value})
    traces = [json.loads(line).get("trace_id") for line in lines.lines]
    assert traces == [None, None, "a" * 32]


def test_exceptions_and_what_json_cannot_write() -> None:
    try:
        raise ValueError("gone")
    except ValueError:
        record = logging.makeLogRecord({"msg": "x", "exc_info": sys.exc_info(), "thing": object()})
    line = json.loads(JsonFormatter().format(record))
    assert line["exception"].endswith("ValueError: gone")
    assert line["thing"].startswith("<object")
    assert fields_of(record) == {}


SHARED = """
accounts {
  SHOP: { users: [{user: s, password: s}], exports: [{service: "shop.>"}] }
  HOME: { users: [{user: h, password: h}],
          imports: [{service: {account: SHOP, subject: "shop.>"}, share: true}] }
}
"""


@pytest.mark.live
async def test_who_calls_from_another_account_is_named(log: logging.Logger) -> None:
    lines = Lines(TextFormatter())
    log.addHandler(lines)
    with NatsServer(SHARED) as server:
        async with (
            natsrpc.connect(server.url, user="s", password="s") as worker,
            worker.serve(service_of(log)),
        ):
            for name in ("till 7", ""):
                options: Any = {"name": name} if name else {}
                async with natsrpc.connect(server.url, user="h", password="h", **options) as caller:
                    await caller.call("shop.say", name)
    first, second = lines.lines
    assert first.endswith('till 7 [service=shop endpoint=say caller="till 7"]')
    assert second.endswith(" [service=shop endpoint=say caller=h]")


@pytest.mark.parametrize("told", ["", "{", "[1]", '{"name": 7}', "[" * 5000, "{}"])
async def test_what_names_nobody_is_no_caller(log: logging.Logger, told: str) -> None:
    lines = Lines(JsonFormatter())
    log.addHandler(lines)
    async with service_of(log).test() as client:
        await client.call("shop.say", "x", headers={"Nats-Request-Info": told})
    assert "caller" not in json.loads(lines.lines[0])


def _within_itself() -> list[object]:
    found: list[object] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    ("value", "written"),
    [({(1, 2): 3}, "{(1, 2): 3}"), (float("nan"), "nan"), (_within_itself(), "[[...]]")],
    ids=["keys", "nan", "within itself"],
)
def test_what_json_has_no_form_for_is_written_as_text(
    log: logging.Logger, value: object, written: str
) -> None:
    lines = Lines(JsonFormatter())
    log.addHandler(lines)
    log.info("hello", extra={"odd": value, "size": 3})
    line = json.loads(lines.lines[0], parse_constant=pytest.fail)
    assert (line["message"], line["odd"], line["size"]) == ("hello", written, 3)
