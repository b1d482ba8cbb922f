"""The calls of `$JS.API`: requests and answers in JSON.

A call that a real server has and this one does not is answered by an error that says so, at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from natsrpc.core import overlaps, random_text
from natsrpc.errors import JetStreamError

from . import gets
from .configs import LEVEL, Kinds, Raw, consumer_config, filters_of, is_count, known, stream_config
from .consumer import Consumer
from .refusals import lacking, refused
from .stream import Stream

PREFIX = "$JS.API."

_NAMES, _LISTED, _SUBJECTS = 1024, 256, 100_000
_TYPE = "io.nats.jetstream.api.v1."

_text: Callable[[Any], bool] = lambda value: isinstance(value, str)  # noqa: E731  of a table
_object: Callable[[Any], bool] = lambda value: isinstance(value, dict)  # noqa: E731
_flag: Callable[[Any], bool] = lambda value: isinstance(value, bool)  # noqa: E731


class Server(Protocol):
    """The streams and consumers that the calls are about."""

    streams: dict[str, Stream]

    def stream(self, name: str) -> Stream:
        """A stream by its name, or a refusal."""
        ...

    def find(self, stream: str, consumer: str) -> Consumer | None:
        """A consumer."""
        ...

    def add_stream(self, config: Raw) -> Stream:
        """Make a stream."""
        ...

    def delete_stream(self, name: str) -> None:
        """Delete a stream, or refuse."""
        ...

    def add_consumer(self, stream: Stream, config: Raw) -> Consumer:
        """Make a consumer."""
        ...

    def delete_consumer(self, consumer: Consumer) -> None:
        """Delete a consumer."""
        ...


Answer = dict[str, Any]
Call = Callable[[Server, list[str], Raw], Answer]


def answer(server: Server, call: str, data: bytes) -> Answer:
    """Carry out a call, and return its answer."""
    name = next((each for each in _CALLS if (call + ".").startswith(each + ".")), None)
    if name is None:
        return {"error": _as_json(lacking(f"the call {PREFIX}{call}"))}
    function, kind, count = _CALLS[name]
    tokens = call[len(name) + 1 :].split(".") if call != name else []
    if len(tokens) < count:
        return {"error": _as_json(refused(10003))}
    try:
        told = function(server, tokens, _read(data))
    except JetStreamError as error:
        told = {"error": _as_json(error)}
    return {"type": f"{_TYPE}{kind}_response", **told}


def _as_json(error: JetStreamError) -> dict[str, Any]:
    return {"code": error.code, "err_code": error.err_code, "description": error.description}


def _read(data: bytes) -> Raw:
    try:
        request = json.loads(data) if data.strip() else {}
    except (ValueError, RecursionError) as error:
        raise refused(10025, why=str(error)) from None
    if not isinstance(request, dict):
        raise refused(10025, why="json: cannot unmarshal into Go value")
    return request


def _page(request: Raw, found: list[Any], limit: int) -> tuple[list[Any], Answer]:
    offset = request.get("offset", 0)
    return found[offset : offset + limit], {"total": len(found), "offset": offset, "limit": limit}


# the account


def _info(server: Server, tokens: list[str], request: Raw) -> Answer:
    limits = "max_memory max_storage max_streams max_consumers max_ack_pending"
    used = {"memory": 0, "file": 0}
    for stream in server.streams.values():
        used[stream.config["storage"]] += stream.messages.bytes
    return {
        "memory": used["memory"],
        "storage": used["file"],
        "reserved_memory": 0,
        "reserved_storage": 0,
        "streams": len(server.streams),
        "consumers": sum(len(stream.readers) for stream in server.streams.values()),
        "limits": {**dict.fromkeys(limits.split(), -1), "max_bytes_required": False},
        "api": {"level": LEVEL, "total": 0, "errors": 0},
    }


# streams


def _asked_stream(server: Server, tokens: list[str], request: Raw) -> Raw:
    if request.get("name") != tokens[0]:
        raise refused(10056)
    config = stream_config(request)
    others = [each for each in server.streams.values() if each.name != tokens[0]]
    taken = [subject for each in others for subject in each.config["subjects"]]
    if any(overlaps(subject, other) for subject in config["subjects"] for other in taken):
        raise refused(10065)
    return config


def _create_stream(server: Server, tokens: list[str], request: Raw) -> Answer:
    config = _asked_stream(server, tokens, request)
    if config["sealed"]:
        raise refused(10052, why="stream configuration for create can not be sealed")
    there = server.streams.get(tokens[0])
    if there is not None and there.config != config:
        raise refused(10058)
    return {**(there or server.add_stream(config)).info(), "did_create": True}


def _update_stream(server: Server, tokens: list[str], request: Raw) -> Answer:
    stream = server.stream(tokens[0])
    stream.update(_asked_stream(server, tokens, request))
    return stream.info()


def _stream_info(server: Server, tokens: list[str], request: Raw) -> Answer:
    stream = server.stream(tokens[0])
    kinds: Kinds = {"deleted_details": _flag, "subjects_filter": _text, "offset": is_count}
    asked = known(request, kinds)
    info = stream.info()
    paging: Answer = {"total": 0, "offset": 0, "limit": 0}
    if asked.get("subjects_filter"):
        counts = list(stream.messages.counts(asked["subjects_filter"]).items())
        page, found = _page(asked, counts, _SUBJECTS)
        if page:
            paging = found
            info["state"]["subjects"] = dict(page)
    if asked.get("deleted_details") and info["state"].get("num_deleted"):
        info["state"]["deleted"] = stream.messages.deleted()
    return {**paging, **info, "cluster": {"leader": "memory"}}


def _delete_stream(server: Server, tokens: list[str], request: Raw) -> Answer:
    server.delete_stream(tokens[0])
    return {"success": True}


def _purge(server: Server, tokens: list[str], request: Raw) -> Answer:
    stream = server.stream(tokens[0])
    asked = known(request, {"filter": _text, "seq": is_count, "keep": is_count})
    if asked.get("seq") and asked.get("keep"):
        raise refused(10003)
    purged = stream.purge(asked.get("filter", ""), asked.get("seq", 0), asked.get("keep", 0))
    return {"success": True, "purged": purged}


def _matching(server: Server, request: Raw) -> list[Stream]:
    asked = known(request, {"subject": _text, "offset": is_count})
    subject = asked.get("subject")
    return [
        stream
        for _, stream in sorted(server.streams.items())
        if not subject or any(overlaps(subject, each) for each in stream.config["subjects"])
    ]


def _stream_names(server: Server, tokens: list[str], request: Raw) -> Answer:
    names = [stream.name for stream in _matching(server, request)]
    page, paging = _page(request, names, _NAMES)
    return {**paging, "streams": page or None}


def _stream_list(server: Server, tokens: list[str], request: Raw) -> Answer:
    page, paging = _page(request, _matching(server, request), _LISTED)
    return {**paging, "streams": [stream.info() for stream in page]}


def _get_message(server: Server, tokens: list[str], request: Raw) -> Answer:
    return {"message": gets.as_json(gets.wanted(server.stream(tokens[0]), request))}


def _delete_message(server: Server, tokens: list[str], request: Raw) -> Answer:
    stream = server.stream(tokens[0])
    asked = known(request, {"seq": is_count, "no_erase": _flag})
    stream.delete(asked.get("seq", 0))
    return {"success": True}


# consumers


def _create_consumer(server: Server, tokens: list[str], request: Raw) -> Answer:
    asked = known(request, {"stream_name": _text, "config": _object, "action": _text})
    stream = server.stream(tokens[0])
    wanted = asked.get("config", {})
    is_queue = stream.config["retention"] == "workqueue"
    if is_queue and wanted.get("ack_policy", "none") == "none":
        raise refused(10084)
    name = tokens[1] if len(tokens) > 1 else wanted.get("durable_name") or wanted.get("name")
    config = consumer_config(
        wanted, name or random_text(8).decode(), stream.config["consumer_limits"]
    )
    _check_filter_token(tokens[2:], config)
    there = stream.readers.get(config["name"])
    action = asked.get("action", "")
    if there is None:
        if action == "update":
            raise refused(10149)
        _check_room(stream)
        _check_place(stream, config)
        return server.add_consumer(stream, config).info()
    if action == "create" and there.config != config:
        raise refused(10148)
    if there.config != config:
        _check_place(stream, config)
        there.update(config)
    found: Answer = there.info()
    return found


def _check_filter_token(tokens: list[str], config: Raw) -> None:
    if not tokens:
        return
    if config.get("filter_subjects"):
        raise refused(10137)
    if ".".join(tokens) != config.get("filter_subject"):
        raise refused(10131)


def _check_room(stream: Stream) -> None:
    """Refuse one consumer more than a stream may have."""
    most = stream.config["max_consumers"]
    if 0 < most <= len(stream.readers):
        raise refused(10026)


def _check_place(stream: Stream, config: Raw) -> None:
    """Refuse a consumer that its stream cannot have beside the others."""
    if stream.config["retention"] != "workqueue":
        return
    if config["ack_policy"] != "explicit":
        raise refused(10098)
    if config["deliver_policy"] != "all":
        raise refused(10101)
    mine = filters_of(config)
    others = [each for each in stream.readers.values() if each.name != config["name"]]
    for other in others:
        theirs = filters_of(other.config)
        if not mine:
            raise refused(10099)
        if not theirs or any(overlaps(a, b) for a in mine for b in theirs):
            raise refused(10100)


def _consumer(server: Server, tokens: list[str]) -> Consumer:
    server.stream(tokens[0])
    consumer = server.find(tokens[0], tokens[1])
    if consumer is None:
        raise refused(10014)
    return consumer


def _consumer_info(server: Server, tokens: list[str], request: Raw) -> Answer:
    return _consumer(server, tokens).info()


def _delete_consumer(server: Server, tokens: list[str], request: Raw) -> Answer:
    server.delete_consumer(_consumer(server, tokens))
    return {"success": True}


def _consumer_names(server: Server, tokens: list[str], request: Raw) -> Answer:
    names = sorted(server.stream(tokens[0]).readers)
    page, paging = _page(known(request, {"offset": is_count}), names, _NAMES)
    return {**paging, "consumers": page}


def _consumer_list(server: Server, tokens: list[str], request: Raw) -> Answer:
    readers = server.stream(tokens[0]).readers
    found = [readers[name] for name in sorted(readers)]
    page, paging = _page(known(request, {"offset": is_count}), found, _LISTED)
    return {**paging, "consumers": [consumer.info() for consumer in page]}


def _pause_consumer(server: Server, tokens: list[str], request: Raw) -> Answer:
    consumer = _consumer(server, tokens)
    consumer.pause(known(request, {"pause_until": _text}).get("pause_until", ""))
    return consumer.pause_state()


_CALLS: dict[str, tuple[Call, str, int]] = {
    "INFO": (_info, "account_info", 0),
    "STREAM.CREATE": (_create_stream, "stream_create", 1),
    "STREAM.UPDATE": (_update_stream, "stream_update", 1),
    "STREAM.INFO": (_stream_info, "stream_info", 1),
    "STREAM.DELETE": (_delete_stream, "stream_delete", 1),
    "STREAM.PURGE": (_purge, "stream_purge", 1),
    "STREAM.NAMES": (_stream_names, "stream_names", 0),
    "STREAM.LIST": (_stream_list, "stream_list", 0),
    "STREAM.MSG.GET": (_get_message, "stream_msg_get", 1),
    "STREAM.MSG.DELETE": (_delete_message, "stream_msg_delete", 1),
    "CONSUMER.CREATE": (_create_consumer, "consumer_create", 1),
    "CONSUMER.DURABLE.CREATE": (_create_consumer, "consumer_create", 2),
    "CONSUMER.INFO": (_consumer_info, "consumer_info", 2),
    "CONSUMER.DELETE": (_delete_consumer, "consumer_delete", 2),
    "CONSUMER.NAMES": (_consumer_names, "consumer_names", 1),
    "CONSUMER.LIST": (_consumer_list, "consumer_list", 1),
    "CONSUMER.PAUSE": (_pause_consumer, "consumer_pause", 2),
}
"""For each call its function, the type of its answer, and the least number of its tokens."""
