"""The server's stream to events: the same events for any chunking, and nothing else than events.

`FRAMES` is the one table of frames as nats-server writes them. It is read by the parser and written
back by `render`, so neither can be wrong about it alone; every generated stream is made of it.
"""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, SupportsIndex, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natsrpc.core.wire import Err, Event, Info, Msg, Ok, Parser, Ping, Pong, parser
from natsrpc.errors import RemoteProtocolError

Fields: TypeAlias = tuple[Any, ...]

BLOCK = b"NATS/1.0 503\r\nNats-Subject: svc.none\r\n\r\n"

FRAMES: list[tuple[bytes, Fields]] = [
    (b'INFO {"server_id":"N1","max_payload":1048576} \r\n',
     ("INFO", b'{"server_id":"N1","max_payload":1048576}')),
    (b"PING\r\n", ("PING",)),
    (b"PONG\r\n", ("PONG",)),
    (b"+OK\r\n", ("+OK",)),
    (b"-ERR 'Stale Connection'\r\n", ("-ERR", "Stale Connection")),
    (b"-ERR 'Permissions Violation for Publish to \"Foo.Bar\"'\r\n",
     ("-ERR", 'Permissions Violation for Publish to "Foo.Bar"')),
    (b"MSG a 1 0\r\n\r\n", ("MSG", b"a", b"1", b"", b"", b"")),
    (b"MSG a.b 12 5\r\nhello\r\n", ("MSG", b"a.b", b"12", b"", b"", b"hello")),
    (b"MSG a.b 12 _INBOX.x.1 5\r\nhello\r\n",
     ("MSG", b"a.b", b"12", b"_INBOX.x.1", b"", b"hello")),
    (b"MSG a 1 15\r\n\r\nMSG a 1 0\r\n\r\n\r\n",
     ("MSG", b"a", b"1", b"", b"", b"\r\nMSG a 1 0\r\n\r\n")),
    (b"MSG a 1 6\r\nPING\r\n\r\n", ("MSG", b"a", b"1", b"", b"", b"PING\r\n")),
    (b"MSG a 1 3\r\n\t \t\r\n", ("MSG", b"a", b"1", b"", b"", b"\t \t")),
    ("MSG größe.東京 1 1\r\nx\r\n".encode(),
     ("MSG", "größe.東京".encode(), b"1", b"", b"", b"x")),
    (b"MSG \xff\x01 1 r\x80 1\r\nx\r\n", ("MSG", b"\xff\x01", b"1", b"r\x80", b"", b"x")),
    (b"HMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\n", ("MSG", b"a", b"1", b"", b"NATS/1.0\r\n\r\n", b"")),
    (b"HMSG a 1 r 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n",
     ("MSG", b"a", b"1", b"r", b"NATS/1.0\r\nA: b\r\n\r\n", b"hi")),
    (b"HMSG _INBOX.a.b 7 40 40\r\n" + BLOCK + b"\r\n",
     ("MSG", b"_INBOX.a.b", b"7", b"", BLOCK, b"")),
    (b"HMSG a 1 3 5\r\n\xff\x00\r\n\n\r\n", ("MSG", b"a", b"1", b"", b"\xff\x00\r", b"\n\n")),
]  # fmt: skip

STREAM = b"".join(frame for frame, _ in FRAMES)
EVENTS = [fields for _, fields in FRAMES]

LENIENT: list[tuple[bytes, Fields]] = [
    (b"ping\r\n", ("PING",)),
    (b"PiNG\n", ("PING",)),
    (b"PING and whatever\r\n", ("PING",)),
    (b"pong\t1\r\n", ("PONG",)),
    (b"+ok fine\r\n", ("+OK",)),
    (b"info\t{}\t\r\n", ("INFO", b"{}")),
    (b"INFO   {} \n", ("INFO", b"{}")),
    (b"-err Stale Connection\r\n", ("-ERR", "Stale Connection")),
    (b"-ERR\r\n", ("-ERR", "")),
    (b"-ERR 'It's \"odd\"'\r\n", ("-ERR", 'It\'s "odd"')),
    (b"-ERR '\xff'\r\n", ("-ERR", "\udcff")),
    (b"msg a 1 2\r\nhi\r\n", ("MSG", b"a", b"1", b"", b"", b"hi")),
    (b"MSG a 1 2\nhi\r\n", ("MSG", b"a", b"1", b"", b"", b"hi")),
    (b"MSG a 1 7\nhi r 12\r\n", ("MSG", b"a", b"1", b"", b"", b"hi r 12")),
    (b"MSG\ta\t1\t2\r\nhi\r\n", ("MSG", b"a", b"1", b"", b"", b"hi")),
    (b"MSG a\t1 2\r\nhi\r\n", ("MSG", b"a", b"1", b"", b"", b"hi")),
    (b"MSG a\t1 r 2\r\nhi\r\n", ("MSG", b"a", b"1", b"r", b"", b"hi")),
    (b"MSG  a   1  r \t 2 \r\nhi\r\n", ("MSG", b"a", b"1", b"r", b"", b"hi")),
    (b"MSG a 1  2\r\nhi\r\n", ("MSG", b"a", b"1", b"", b"", b"hi")),
    (b"MSG a 1 0002\r\nhi\r\n", ("MSG", b"a", b"1", b"", b"", b"hi")),
    (b"MSG a 1 000000002\r\nhi\r\n", ("MSG", b"a", b"1", b"", b"", b"hi")),
    (b"HMSG a 1 0 2\r\nhi\r\n", ("MSG", b"a", b"1", b"", b"", b"hi")),
    (b"hmsg a\t1 r 0 2\r\nhi\r\n", ("MSG", b"a", b"1", b"r", b"", b"hi")),
    (b"HMSG a 1 r  1 2\r\nhi\r\n", ("MSG", b"a", b"1", b"r", b"h", b"i")),
]

BROKEN = [
    b"\r\n",
    b"\n",
    b"NOPE\r\n",
    b"PINGPONG\r\n",
    b"MSG\r\n",
    b"MSG a\r\n",
    b"MSG a 1\r\n",
    b"MSG a 1 r 2 3\r\nhi\r\n",
    b"MSG a 1 x\r\n",
    b"MSG a 1 -1\r\n",
    b"MSG a 1 +1\r\nx\r\n",
    b"MSG a 1 1_0\r\n0123456789\r\n",
    b"MSG a 1 \xb2\r\nhi\r\n",
    b"MSG a 1 1000000000\r\n",
    b"MSG a 1 0000000002\r\nhi\r\n",
    b"MSG a 1 2\r\nhiX\r\n",
    b"MSG a 1 2\r\nhi\n\n",
    b"MSG a 1 2\r\nhi\rX",
    b"HMSG a 1 2\r\nhi\r\n",
    b"HMSG a 1 r 0 2 3\r\nhi\r\n",
    b"HMSG a 1 3 2\r\nhi\r\n",
    b"HMSG a 1 x 2\r\nhi\r\n",
    b"HMSG a 1 2 x\r\nhi\r\n",
    b"PUB a 2\r\nhi\r\n",
    b"HTTP/1.1 400 Bad Request\r\n",
    b"\x16\x03\x01\x00\n",
]


def fields(event: Event) -> Fields:
    """An event as a tuple that compares."""
    match event:
        case Msg():
            return (
                "MSG",
                event.raw_subject,
                event.sid,
                event.raw_reply,
                event.raw_headers,
                event.data,
            )
        case Info():
            return ("INFO", event.json)
        case Err():
            return ("-ERR", event.text)
        case Ping():
            return ("PING",)
        case Pong():
            return ("PONG",)
        case Ok():
            return ("+OK",)


def render(event: Fields) -> bytes:
    """The frame nats-server writes for an event."""
    match event:
        case ("MSG", subject, sid, reply, headers, data):
            counts = [b"%d" % len(headers)] if headers else []
            counts.append(b"%d" % (len(headers) + len(data)))
            line = [b"HMSG" if headers else b"MSG", subject, sid, *([reply] if reply else [])]
            return bytes(b" ".join([*line, *counts]) + b"\r\n" + headers + data + b"\r\n")
        case ("INFO", json):
            return b"INFO " + bytes(json) + b" \r\n"
        case ("-ERR", text):
            return b"-ERR '" + str(text).encode("utf-8", "surrogateescape") + b"'\r\n"
        case _:
            return str(event[0]).encode() + b"\r\n"


def parse(chunks: Iterable[bytes], **options: Any) -> tuple[list[Fields], bool]:
    """The events of all chunks, and whether the parser gave up."""
    reader = Parser(**options)
    events = [fields(event) for chunk in chunks for event in reader.feed(chunk)]
    return events, reader.failure is not None


def split(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(cuts), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]


def single_bytes(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


# The table, both ways


@pytest.mark.parametrize(("frame", "event"), FRAMES, ids=lambda value: repr(value)[:40])
@pytest.mark.parity("V1")
def test_a_frame_is_read_and_written_back(frame: bytes, event: Fields) -> None:
    assert parse([frame]) == ([event], False)
    assert render(event) == frame


@pytest.mark.parametrize(("frame", "event"), LENIENT, ids=lambda value: repr(value)[:40])
@pytest.mark.parity("V1")
def test_legal_variants_are_read_however_they_are_cut(frame: bytes, event: Fields) -> None:
    assert parse([frame]) == ([event], False)
    assert parse(single_bytes(frame)) == ([event], False)
    # Twice in one chunk, then after a canonical frame: what was learned from one changes nothing.
    assert parse([frame + frame]) == ([event, event], False)
    assert parse([STREAM, frame, frame]) == ([*EVENTS, event, event], False)


@pytest.mark.parametrize("frame", BROKEN, ids=repr)
@pytest.mark.parity("V3")
def test_a_broken_frame_ends_the_stream_however_it_is_cut(frame: bytes) -> None:
    for chunks in ([frame], single_bytes(frame), [b"PING\r\n" + frame + b"PING\r\n"]):
        events, failed = parse(chunks)
        assert failed
        assert events == ([("PING",)] if chunks[0].startswith(b"PING\r") else [])


def test_nothing_is_read_after_a_failure() -> None:
    reader = Parser()
    assert [fields(event) for event in reader.feed(b"PING\r\nNOPE\r\nPONG\r\n")] == [("PING",)]
    failure = reader.failure
    assert isinstance(failure, RemoteProtocolError)
    assert "NOPE" in str(failure)
    assert reader.feed(b"PING\r\n") == []
    assert reader.failure is failure
    assert reader.is_between_frames


def test_each_message_carries_the_responder() -> None:
    class Answers:
        congested = False

        def send(
            self, subject: bytes, data: bytes, reply: bytes = b"", headers: bytes = b""
        ) -> None: ...

        async def writable(self) -> None: ...

    responder = Answers()
    for chunks in ([STREAM], single_bytes(STREAM)):
        reader = Parser(responder)
        got = [event for chunk in chunks for event in reader.feed(chunk) if isinstance(event, Msg)]
        assert len(got) == sum(event[0] == "MSG" for event in EVENTS)
        assert all(msg.responder is responder and msg.sub is None for msg in got)


def test_messages_and_their_bytes_are_counted_headers_included() -> None:
    received = [event for event in EVENTS if event[0] == "MSG"]
    size = sum(len(event[4]) + len(event[5]) for event in received)
    for chunks in ([STREAM], single_bytes(STREAM), [STREAM[:100], STREAM[100:]]):
        reader = Parser()
        for _ in range(2):
            for chunk in chunks:
                reader.feed(chunk)
        assert (reader.messages, reader.message_bytes) == (2 * len(received), 2 * size)


def test_it_knows_when_it_is_between_frames() -> None:
    ends = {0}
    for frame, _ in FRAMES:
        ends.add(max(ends) + len(frame))
    reader = Parser()
    assert reader.is_between_frames
    for fed, byte in enumerate(single_bytes(STREAM), 1):
        reader.feed(byte)
        assert reader.is_between_frames == (fed in ends)


# Any chunking


@pytest.mark.parity("V2")
def test_every_split_point_gives_the_same_events() -> None:
    for cut in range(len(STREAM) + 1):
        assert parse(split(STREAM, [cut])) == (EVENTS, False), f"cut at {cut}"


def test_every_chunk_size_gives_the_same_events() -> None:
    for size in range(1, len(STREAM)):
        chunks = [STREAM[i : i + size] for i in range(0, len(STREAM), size)]
        assert parse(chunks) == (EVENTS, False), f"chunks of {size}"


def test_every_pair_of_split_points_around_one_frame_gives_the_same_events() -> None:
    for frame, event in FRAMES:
        data = b"PING\r\n" + frame + b"PONG\r\n"
        for first in range(len(data)):
            for second in range(first, len(data)):
                expected = ([("PING",), event, ("PONG",)], False)
                assert parse(split(data, [first, second])) == expected


token = st.binary(min_size=1, max_size=12).filter(lambda raw: not set(raw) & set(b" \t\r\n"))
numbers = st.integers(1, 10**6).map(lambda number: b"%d" % number)
message = st.tuples(
    st.just("MSG"),
    token,
    numbers,
    st.one_of(st.just(b""), token),
    st.one_of(st.just(b""), st.binary(min_size=1, max_size=40), st.just(BLOCK)),
    st.binary(max_size=80),
)
plain_text = st.text(st.characters(exclude_characters="\r\n'", exclude_categories=["Cs"]))
error = plain_text.map(lambda text: ("-ERR", text))
information = st.dictionaries(st.text("abc_", min_size=1), st.integers()).map(
    lambda keys: ("INFO", repr(keys).replace("'", '"').encode())
)
event_lists = st.lists(
    st.one_of(message, error, information, st.sampled_from([("PING",), ("PONG",), ("+OK",)])),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(events=event_lists, data=st.data())
def test_any_stream_in_any_chunks_gives_back_its_events(
    events: list[Fields], data: st.DataObject
) -> None:
    stream = b"".join(render(event) for event in events)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    assert parse(split(stream, cuts)) == (events, False)


@settings(max_examples=150, deadline=None)
@given(stream=st.binary(max_size=200), data=st.data())
def test_any_bytes_in_any_chunks_give_the_same_result(stream: bytes, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    assert parse(split(stream, cuts)) == parse([stream])


def mutated(stream: bytes, dice: random.Random) -> bytes:
    """The stream with one to four bytes or slices changed, most of them where the syntax is."""
    raw = bytearray(stream)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(raw) + 1)
        match dice.randrange(6):
            case 0:
                raw[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                raw[at:at] = dice.choice(
                    [b" ", b"\t", b"\r", b"\n", b"\r\n", b"0", b"9", b"-1", b"\x00", b"MSG "]
                )
            case 2:
                del raw[at : at + dice.randint(1, 4)]
            case 3:
                raw[at:at] = raw[at : at + dice.randint(1, 30)]
            case 4:
                raw[at : at + 1] = raw[at : at + 1].swapcase()
            case 5:
                del raw[at:]
    return bytes(raw)


@pytest.mark.once
def test_100_000_mutations_give_events_or_a_protocol_error() -> None:
    dice = random.Random(20250101)
    frames = [frame for frame, _ in FRAMES]
    outcomes = {True: 0, False: 0}
    for number in range(100_000):
        stream = mutated(b"".join(dice.choices(frames, k=3)), dice)
        reader = Parser(max_message=4096)
        cut = dice.randrange(len(stream) + 1)
        events = reader.feed(stream[:cut]) + reader.feed(stream[cut:])
        outcomes[reader.failure is not None] += 1
        if number % 4 == 0:
            result = [fields(event) for event in events], reader.failure is not None
            assert result == parse([stream], max_message=4096), stream
    assert min(outcomes.values()) > 10_000


# Caps


@pytest.mark.parity("V3")
def test_control_lines_are_capped_however_they_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser, "MAX_CONTROL_LINE", 100)
    monkeypatch.setattr(parser, "MAX_INFO_LINE", 200)

    def line(prefix: bytes, size: int, suffix: bytes, fill: bytes = b"x") -> bytes:
        return prefix + fill * (size - len(prefix) - len(suffix)) + suffix

    for prefix, suffix, fill, cap in (
        (b"MSG ", b" 1 2\r", b"x", 100),
        (b"HMSG ", b" 1 1 2\r", b"x", 100),
        (b"PING ", b"\r", b"x", 100),
        (b"-ERR ", b"\r", b"x", 100),
        (b"INFO ", b"\r", b"x", 200),
        (b"info ", b"\r", b"x", 200),
        (b"  INFO ", b"\r", b"x", 200),
    ):
        body = b"hi\r\n" if b"MSG" in prefix else b""
        for size, fails in ((cap, False), (cap + 1, True)):
            frame = line(prefix, size, suffix, fill) + b"\n" + body
            for chunks in (
                [frame],
                [STREAM + frame],
                [STREAM + b"MSG a 1 2\r\nhi\r\n", frame],
                single_bytes(frame),
                split(frame, [size]),
                split(frame, [size - 2]),
            ):
                assert parse(chunks)[1] is fails, (prefix, size)


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 502 Bad Gateway",
        b"\x15\x03\x01\x00\x02\x02",
        b"\x00",
        b"SSH-2.0-OpenSSH_9.6",
        b"{",
        b"MSGX a",
        b"MS G",
        b"+KO",
        b"PING\rP",
        b"  \tQ",
        b"INFOx",
    ],
)
def test_garbage_is_noticed_at_its_first_bytes_not_at_the_end_of_a_line(garbage: bytes) -> None:
    for before in (b"", b"PING\r\n", b"MSG a 1 2\r\nhi\r\n"):
        for chunks in ([before + garbage], [before, garbage], single_bytes(before + garbage)):
            assert parse(chunks)[1]


@pytest.mark.parametrize(
    "line", [b"MSG a 1 2", b"hmsg a", b"PING", b"pOnG\r", b"+OK", b"-ERR 'x", b" \t INFO {", b"\r"]
)
def test_the_beginning_of_a_line_is_waited_for_however_short(line: bytes) -> None:
    for size in range(len(line) + 1):
        assert not parse([line[:size]])[1]
        assert not parse(single_bytes(line[:size]))[1]


def test_a_line_without_end_fails_at_the_cap_not_at_its_end() -> None:
    for start, cap in ((b"MSG ", parser.MAX_CONTROL_LINE), (b"INFO {", parser.MAX_INFO_LINE)):
        reader = Parser()
        reader.feed(start)
        fed = len(start)
        while reader.failure is None:
            reader.feed(b"x" * 1000)
            fed += 1000
        assert cap < fed <= cap + 1000


def test_a_giant_info_is_read() -> None:
    urls = ",".join(f'"10.0.{i >> 8}.{i & 255}:4222"' for i in range(20_000))
    json = f'{{"connect_urls":[{urls}]}}'.encode()
    assert len(json) > 300_000
    frame = b"INFO " + json + b" \r\n"
    expected = ([("INFO", json)], False)
    assert parse([frame]) == expected
    assert parse([frame[i : i + 4096] for i in range(0, len(frame), 4096)]) == expected


def test_the_message_cap_holds_before_and_after_a_size_was_seen() -> None:
    within, over = b"MSG a 1 10\r\n0123456789\r\n", b"MSG a 1 11\r\n0123456789A\r\n"
    for chunks in ([over], [over + over], [within + over], single_bytes(over), [over[:12]]):
        events, failed = parse(chunks, max_message=10)
        assert failed
        assert len(events) == (chunks[0].startswith(within))
    assert parse([over], max_message=11)[1] is False
    assert parse([over, over], max_message=10) == ([], True)
    headed = b"HMSG a 1 5 11\r\n0123456789A\r\n"
    assert parse([headed], max_message=10) == ([], True)
    assert parse([headed, headed], max_message=11)[1] is False


def test_a_size_over_the_cap_fails_before_its_payload_is_kept() -> None:
    reader = Parser()
    assert reader.feed(b"MSG a 1 67108865\r\n" + bytes(1000)) == []
    assert reader.failure is not None
    assert "67108865" in str(reader.failure)
    reader = Parser()
    assert reader.feed(b"MSG a 1 67108864\r\n") == []
    assert reader.failure is None


def test_a_message_larger_than_max_payload_is_still_delivered() -> None:
    data = bytes(3 << 20)
    assert parse([render(("MSG", b"a", b"1", b"", b"", data))])[0][0][-1] == data


def test_many_different_sizes_stay_correct() -> None:
    events: list[Fields] = [("MSG", b"a", b"1", b"", b"", bytes(size)) for size in range(5000)]
    reader = Parser()
    for event in events:
        assert [fields(got) for got in reader.feed(render(event))] == [event]


# Work and memory: counted, never timed


class Counted(bytes):
    """Bytes that count how many of them are looked at or copied."""

    work = 0

    def __getitem__(self, key: SupportsIndex | slice) -> Any:
        value = super().__getitem__(key)
        if isinstance(value, int):
            return value
        Counted.work += len(value)
        return Counted(value)

    def __radd__(self, other: bytes) -> Counted:
        if isinstance(other, bytearray):
            return NotImplemented  # `held += chunk` grows in place
        Counted.work += len(self) + len(other)
        return Counted(bytes(other) + bytes(self))

    def find(self, what: Any, start: Any = 0, stop: Any = None) -> int:
        stop = len(self) if stop is None else min(stop, len(self))
        found = super().find(what, start, stop)
        Counted.work += (stop if found < 0 else found) - start
        return found

    def split(self, sep: Any = None, maxsplit: SupportsIndex = -1) -> list[bytes]:
        Counted.work += len(self)
        return super().split(sep, maxsplit)


def work(chunks: Iterable[bytes]) -> float:
    """Bytes handled for each byte fed."""
    reader = Parser()
    Counted.work = fed = 0
    for chunk in chunks:
        reader.feed(Counted(chunk))
        fed += len(chunk)
    assert reader.failure is None
    return Counted.work / fed


@pytest.mark.parametrize(
    ("stream", "chunk"),
    [
        (render(("MSG", b"a", b"1", b"", b"", bytes(8 << 20))), 65536),
        (render(("MSG", b"a", b"1", b"", b"\x00" * 60, bytes(200_000))), 1000),
        (render(("MSG", b"a", b"1", b"", b"", bytes(20_000))), 1),
        (render(("MSG", b"a", b"1", b"", b"", b"x")) * 20_000, 1 << 20),
        (render(("MSG", b"a", b"1", b"", b"", b"x")) * 20_000, 4099),
        (b"MSG a 1 1\nx\r\n" * 20_000, 1 << 20),
        (b"PING\n" * 50_000, 1 << 20),
        (b"PING\r\n" * 50_000, 1 << 20),
        (b"INFO " + b" " * 900_000 + b"{}\r\n", 4096),
        (b"PING\n" * 2_000 + b"INFO " + b"x" * 900_000 + b"\r\n", 1 << 20),
    ],
    ids=[
        "one large payload",
        "one payload in small chunks",
        "one payload byte by byte",
        "small frames in one chunk",
        "small frames cut anywhere",
        "LF-ended frames",
        "LF-ended pings",
        "pings",
        "one long INFO",
        "pings before a long INFO",
    ],
)
@pytest.mark.parity("V2")
def test_the_work_grows_with_the_bytes_and_no_faster(stream: bytes, chunk: int) -> None:
    assert work(stream[i : i + chunk] for i in range(0, len(stream), chunk)) < 6


def test_a_large_message_is_held_twice_at_most() -> None:
    size = 8 << 20
    frame = render(("MSG", b"a", b"1", b"", b"", bytes(size)))
    chunks = [frame[i : i + 65536] for i in range(0, len(frame), 65536)]
    del frame
    reader = Parser()
    tracemalloc.start()
    try:
        events = [event for chunk in chunks for event in reader.feed(chunk)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(events) == 1
    assert peak < 2.2 * size


def test_a_trickle_is_kept_without_overhead() -> None:
    size = 200_000
    reader = Parser()
    reader.feed(b"MSG a 1 %d\r\n" % size)
    tracemalloc.start()
    try:
        for _ in range(size):
            reader.feed(b"x")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * size
