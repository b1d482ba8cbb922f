"""The parser of the server's byte stream: bytes in, events out, the same ones for any chunking.

The session calls `feed` with each chunk that it receives. Frames are taken on three paths, the
fastest first:

1. A run of small MSG frames without headers is taken by `bulk`.
2. A MSG or HMSG that is whole within the chunk, and written exactly as nats-server writes it, is
   taken apart in the loop of `feed`, by one `find` and one `split` (measured: half the time of a
   compiled regular expression).
3. Every other line (tabs, lower case, a bare LF, other operations) goes to `_line`, which knows the
   whole grammar and is the only judge of what is wrong.

The rule: the faster two take a frame only if `_line` would make the same event of it; in doubt they
leave it. Random tests, which cut streams anywhere, hold them to it.

Between chunks the parser is in one of three states, which only `feed` and its helpers move:

- *between frames*: nothing is kept;
- *within a control line*: `_held` keeps its bytes;
- *within a payload*: `_partial` keeps the message's fields, `_parts` its bytes so far. Large
  payloads are collected chunk by chunk and joined once.

Once the stream has broken the protocol, `failure` says how, and the parser makes no more events.
The events before the broken frame are returned as usual.

Ref: https://docs.nats.io/reference/reference-protocols/nats-protocol.
"""

from __future__ import annotations

from natsrpc.errors import RemoteProtocolError

from .bulk import SMALLEST, take_run
from .messages import Err, Event, Info, Msg, Ok, Ping, Pong, Responder

MAX_INFO_LINE = 1024 * 1024
"""Bytes of an INFO line: a cluster of thousands of servers lists them all in it."""
MAX_CONTROL_LINE = 64 * 1024
"""Bytes of any other control line. nats-server allows 4096 by default, but can be configured."""
MAX_MESSAGE = 64 * 1024 * 1024
"""Bytes of headers and payload: the largest `max_payload` that nats-server can be given."""

_SMALL_CHUNK = 4096
_SIZES_LIMIT = 4096  # entries of `_sizes`; a server that sends ever new sizes must not fill memory

_OPERATIONS = (b"MSG", b"HMSG", b"PING", b"PONG", b"INFO", b"+OK", b"-ERR")
_BEGINNING = 64  # bytes of a line that are enough to see what it begins with

_PING, _PONG, _OK = Ping(), Pong(), Ok()


class Parser:
    """Cuts the byte stream of one connection into events.

    Args:
        responder: put on every message, for `Msg.respond`.
        max_message: the largest message accepted, headers included, in bytes. The server's
            `max_payload` is no bound for received messages: a reload may have lowered it since.

    `messages` and `message_bytes` (headers and payload) count the messages received. `failure` is
    the error that ended the stream, or None.
    """

    __slots__ = (
        "_held",
        "_max_message",
        "_partial",
        "_parts",
        "_received",
        "_responder",
        "_sizes",
        "failure",
        "message_bytes",
        "messages",
    )

    def __init__(
        self, responder: Responder | None = None, *, max_message: int = MAX_MESSAGE
    ) -> None:
        self._responder = responder
        self._max_message = max_message
        self._held: bytearray | None = None
        self._partial: tuple[list[bytes], int, int] | None = None
        self._parts: list[bytes | bytearray] = []
        self._received = 0
        self._sizes: dict[bytes, int] = {b"0": 0}
        self.failure: RemoteProtocolError | None = None
        self.messages: int = 0
        self.message_bytes: int = 0

    @property
    def is_between_frames(self) -> bool:
        """Whether the last chunk ended with the end of a frame."""
        return self._held is None and self._partial is None

    def feed(self, data: bytes) -> list[Event]:  # noqa: C901  one loop: a call costs a tenth of a message
        """Return the events that the next chunk completes. After the call, look at `failure`."""
        events: list[Event] = []
        if self._held is not None or self._partial is not None or self.failure is not None:
            data = self._resume(data, events)
        # Names of this function are faster than attributes; the counters are added up at the end.
        sizes, responder = self._sizes, self._responder
        size, tabs, find, new = len(data), 9 in data, data.find, object.__new__
        pos = messages = message_bytes = 0
        if size >= SMALLEST:
            messages = -len(events)
            pos, message_bytes = take_run(data, sizes, responder, events)
            messages += len(events)
        while pos < size:
            # The index of the CR, if all is well: -2 where no LF was found, and -1 where the chunk
            # begins with one. The bound keeps a line without an end from being searched in full.
            end = find(b"\n", pos, pos + MAX_CONTROL_LINE) - 1
            line = data[pos:end] if end > 0 and data[end] == 13 else b""
            args = line.split(b" ")
            count = len(args)
            if count == 6:
                op, subject, sid, reply, head_size, total_size = args
                is_message = op == b"HMSG"
            elif count == 5:
                op, subject, sid, reply, total_size = args
                head_size, is_message = b"0", op == b"MSG"
                if op == b"HMSG":  # without a reply: what was taken for one is a size
                    reply, head_size, is_message = b"", reply, True
            elif count == 4:
                op, subject, sid, total_size = args
                reply, head_size, is_message = b"", b"0", op == b"MSG"
            else:
                subject = sid = reply = head_size = total_size = b""
                is_message = False
            # An empty part means two blanks in a row, which count as one: `_line` takes those.
            if is_message and subject and sid and not (tabs and 9 in line):
                # `sizes` has only digits that were checked and are within the limit, so that one
                # lookup is both the conversion and the check. `_size` fills it.
                head, total = sizes.get(head_size, -1), sizes.get(total_size, -1)
                if 0 <= head <= total:
                    start = end + 2
                    body, stop = start + head, start + total
                    if stop + 2 > size:  # the chunk ends within the payload or its CRLF
                        self._begin(args, head, total, data[start:])
                        break
                    if data[stop : stop + 2] == b"\r\n":
                        msg: Msg = new(Msg)
                        msg.raw_subject = subject
                        msg.sid = sid
                        msg.raw_reply = reply
                        msg.data = data[body:stop]
                        msg.raw_headers = data[start:body]
                        msg.responder = responder
                        msg.sub = msg.decoded = None
                        events.append(msg)
                        messages += 1
                        message_bytes += total
                        pos = stop + 2
                        continue
            pos = self._line(data, pos, events)
            if pos < 0:
                break
        self.messages += messages
        self.message_bytes += message_bytes
        return events

    def _line(self, data: bytes, pos: int, events: list[Event]) -> int:
        """Take one control line in any form that the protocol allows, and its payload.

        Returns the position after the frame; -1 where the chunk or the stream ends here.
        """
        end = data.find(b"\n", pos)
        if end < 0:
            self._hold(data[pos:])
            return -1
        line = data[pos:end].strip(b" \t\r")
        raw_size = end - pos
        op, rest = _split_operation(line)
        if raw_size > (MAX_INFO_LINE if op == b"INFO" else MAX_CONTROL_LINE):
            return self._fail(f"control line of {raw_size} bytes is too long")
        if op in (b"MSG", b"HMSG"):
            return self._message_line(op, rest, data, end + 1, events)
        event = _control(op, rest)
        if event is None:
            return self._fail(f"unknown operation {line[:64]!r}")
        events.append(event)
        return end + 1

    def _message_line(
        self, op: bytes, rest: bytes, data: bytes, start: int, events: list[Event]
    ) -> int:
        """Take a MSG or HMSG whose line ends before `start`. Returns as `_line`."""
        args = [op, *rest.split(b" ")]
        if b"\t" in rest or b"" in args:
            args = [op, *rest.replace(b"\t", b" ").split(b" ")]
            args = [arg for arg in args if arg]
        fewest = 5 if op == b"HMSG" else 4
        if len(args) not in (fewest, fewest + 1):
            return self._fail(f"{op.decode()} with {len(args) - 1} fields: {rest[:64]!r}")
        total = self._size(args[-1])
        head = self._size(args[-2]) if op == b"HMSG" else 0
        if total is None or head is None or head > total:
            return self._fail(f"{op.decode()} with a bad size: {rest[-32:]!r}")
        if total > self._max_message:
            return self._fail(f"message of {total} bytes, at most {self._max_message} accepted")
        stop = start + total
        if stop + 2 > len(data):
            self._begin(args, head, total, data[start:])
            return -1
        if data[stop : stop + 2] != b"\r\n":
            return self._fail(f"payload on {args[1]!r} does not end where its size says")
        events.append(self._message(args, head, data[start:stop]))
        return stop + 2

    def _size(self, digits: bytes) -> int | None:
        """Return a size as a number; None if it is not one.

        It is kept for the fast paths, unless it is over the limit: they must not know such a size.
        """
        # nine digits are more than any limit; `int` of very long text would take quadratic time
        if not digits.isdigit() or len(digits) > 9:
            return None
        size = int(digits)
        if size <= self._max_message and len(self._sizes) < _SIZES_LIMIT:
            self._sizes[digits] = size
        return size

    def _message(self, args: list[bytes], head: int, body: bytes) -> Msg:
        self.messages += 1
        self.message_bytes += len(body)
        msg = object.__new__(Msg)
        msg.raw_subject = args[1]
        msg.sid = args[2]
        msg.raw_reply = args[3] if len(args) == (6 if args[0] == b"HMSG" else 5) else b""
        msg.data = body[head:]
        msg.raw_headers = body[:head]
        msg.responder = self._responder
        msg.sub = msg.decoded = None
        return msg

    def _begin(self, args: list[bytes], head: int, total: int, first: bytes) -> None:
        """Keep a message whose payload goes on in the next chunk."""
        self._partial = (args, head, total)
        self._parts = [first]
        self._received = len(first)

    def _hold(self, rest: bytes) -> None:
        """Keep the beginning of a control line that goes on in the next chunk."""
        self._held = bytearray(rest)
        self._check_held()

    def _check_held(self) -> None:
        """Fail at the first bytes that begin no operation, and at a line that is too long: who does
        not speak NATS may never send the end of a line."""
        held = self._held
        if held is None:
            return
        if not _may_begin(bytes(held[:_BEGINNING])):
            self._fail(f"unknown operation {bytes(held[:64])!r}")
            return
        if len(held) <= MAX_CONTROL_LINE:
            return
        is_info = held[:64].lstrip(b" \t")[:4].upper() == b"INFO"
        limit = MAX_INFO_LINE if is_info else MAX_CONTROL_LINE
        if len(held) > limit:
            self._fail(f"control line over {limit} bytes")

    def _resume(self, data: bytes, events: list[Event]) -> bytes:
        """Complete the frame that an earlier chunk began, and return the bytes after it."""
        if self.failure is not None:
            return b""
        if self._held is not None:
            if b"\n" not in data:
                self._held += data
                self._check_held()
                return b""
            data = bytes(self._held) + data
            self._held = None
            return data
        return self._resume_payload(data, events)

    def _resume_payload(self, data: bytes, events: list[Event]) -> bytes:
        assert self._partial is not None
        args, head, total = self._partial
        missing = total + 2 - self._received
        if len(data) < missing:
            self._collect(data)
            return b""
        parts = self._parts
        self._partial, self._parts = None, []
        # The CRLF is left out, so that joining is the only copy of a large payload.
        parts.append(data[: max(0, missing - 2)])
        body, end = b"".join(parts), data[max(0, missing - 2) : missing]
        if missing < 2:  # the chunk before ended between CR and LF
            body, end = body[:total], body[total:] + end
        if end != b"\r\n":
            self._fail(f"payload on {args[1]!r} does not end where its size says")
            return b""
        events.append(self._message(args, head, body))
        return data[missing:]

    def _collect(self, data: bytes) -> None:
        """Keep a chunk of a payload. Small chunks are gathered in one buffer: a list of them would
        take many times their memory."""
        self._received += len(data)
        last = self._parts[-1]
        if len(data) >= _SMALL_CHUNK:
            self._parts.append(data)
        elif isinstance(last, bytearray):
            last += data
        else:
            self._parts.append(bytearray(data))

    def _fail(self, reason: str) -> int:
        self.failure = RemoteProtocolError(reason)
        self._held = self._partial = None
        self._parts = []
        return -1


def _split_operation(line: bytes) -> tuple[bytes, bytes]:
    op, _, rest = line.partition(b" ")
    if b"\t" in op:
        op, _, rest = line.partition(b"\t")
    return op.upper(), rest.strip(b" \t")


def _may_begin(start: bytes) -> bool:
    """Whether a line of which nothing more is known may be one that `_line` takes."""
    word, blank, _ = start.lstrip(b" \t\r").replace(b"\t", b" ").partition(b" ")
    word = word.rstrip(b"\r").upper()  # more blanks may follow, and be all that does
    if blank:
        return word in _OPERATIONS
    return any(operation.startswith(word) for operation in _OPERATIONS)


def _control(op: bytes, rest: bytes) -> Event | None:
    if op == b"PING":
        return _PING
    if op == b"PONG":
        return _PONG
    if op == b"+OK":
        return _OK
    if op == b"INFO":
        return Info(rest)
    if op == b"-ERR":
        return Err(_unquote(rest).decode("utf-8", "surrogateescape"))
    return None


def _unquote(text: bytes) -> bytes:
    if text.startswith(b"'"):
        text = text[1:]
    return text[:-1] if text.endswith(b"'") else text
