"""WebSocket frames: masked and cut, against wsproto and by hand."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage

from natsrpc.core.session.framing import (
    MAX_FRAME,
    Control,
    Cutter,
    Mask,
    framed,
    masked,
    masking,
)
from tests.core.harness.websocket import CLOSE, PING, TEXT, ws_frame

SIZES = [0, 1, 3, 4, 125, 126, 127, 399, 400, 401, 65535, 65536, 70_001]


@pytest.mark.parametrize("mask", [masked, masking()], ids=["python", "here"])
@pytest.mark.parametrize("size", SIZES)
def test_a_mask_is_an_xor_with_the_key_over_and_over(size: int, mask: Mask) -> None:
    data, key = os.urandom(size), os.urandom(4)
    frame = framed(data, key, mask)
    assert framed(memoryview(data), key, mask) == frame
    assert frame[len(frame) - size :] == bytes(b ^ key[n % 4] for n, b in enumerate(data))
    assert frame[len(frame) - size - 4 :][:4] == key


def test_masks_are_made_in_c_where_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert masking() is not masked
    monkeypatch.setitem(sys.modules, "websockets.speedups", None)
    assert masking.__wrapped__() is masked


@pytest.mark.parametrize("size", SIZES)
def test_a_server_reads_our_frames(size: int) -> None:
    data = os.urandom(size)
    server = Connection(ConnectionType.SERVER)
    server.receive_data(framed(data, os.urandom(4), masking()))
    events = [event for event in server.events() if isinstance(event, BytesMessage)]
    assert b"".join(bytes(event.data) for event in events) == data
    assert events[-1].message_finished


def cut(cutter: Cutter, chunks: Iterable[bytes]) -> tuple[bytes, list[Control]]:
    payload, controls = b"", []
    for chunk in chunks:
        for piece in cutter.feed(chunk):
            if isinstance(piece, Control):
                controls.append(piece)
            else:
                payload += piece
    return payload, controls


@given(
    st.lists(st.tuples(st.binary(max_size=300), st.booleans()), max_size=6),
    st.lists(st.integers(0, 2000), max_size=8),
)
def test_payload_is_the_same_however_it_is_framed_and_cut(
    parts: list[tuple[bytes, bool]], cuts: list[int]
) -> None:
    stream, sent, in_message = b"", b"", False
    for data, fin in parts:
        stream += ws_frame(data, 0 if in_message else 2, fin=fin) + ws_frame(b"hi", PING)
        sent, in_message = sent + data, not fin
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    cutter = Cutter()
    payload, controls = cut(cutter, chunks)
    assert payload == sent
    assert controls == [Control(PING, ws_frame(b"hi", PING))] * len(parts)
    assert cutter.failure is None


BAD = [
    (ws_frame(b"x", TEXT), "text"),
    (b"\x82\x81abcd-", "masked"),
    (b"\xc2\x01x", "begins with 0xc2"),  # compressed, and nobody asked
    (ws_frame(b"x", 0), "begins with 0x80"),  # goes on with what was never begun
    (ws_frame(b"x", 2, fin=False) + ws_frame(b"y", 2), "begins with 0x82"),
    (ws_frame(b"x", 3), "begins with 0x83"),
    (ws_frame(b"x" * 126, PING), "control frame is too large"),
    (ws_frame(b"", PING, fin=False), "control frame is too large, or not whole"),
    (b"\x82\x7f" + b"\xff" * 8, "2.63"),
]


@pytest.mark.parametrize(("raw", "told"), BAD)
def test_what_breaks_the_rules_is_refused_behind_what_came_before(raw: bytes, told: str) -> None:
    for chunks in ([ws_frame(b"ok") + raw], [ws_frame(b"ok"), *(bytes([b]) for b in raw)]):
        cutter = Cutter()
        payload, controls = cut(cutter, chunks)
        assert payload.startswith(b"ok")
        assert not controls
        with pytest.raises(Exception, match=told):
            raise cutter.failure or AssertionError("nothing failed")
        assert cutter.feed(ws_frame(b"more")) == []


def test_a_frame_that_claims_to_be_endless_is_passed_on_and_not_collected() -> None:
    cutter = Cutter()
    chunk = ws_frame(b"x" * 1000, size=1 << 62)
    assert cut(cutter, [chunk]) == (b"x" * 1000, [])
    assert cut(cutter, [b"y" * 5000]) == (b"y" * 5000, [])


def test_a_head_comes_byte_by_byte() -> None:
    cutter = Cutter()
    stream = ws_frame(b"z" * 70_000) + ws_frame(b"\x03\xe9bye", CLOSE)
    payload, controls = cut(cutter, [bytes([byte]) for byte in stream])
    assert payload == b"z" * 70_000
    assert [control.opcode for control in controls] == [CLOSE]


def test_what_is_masked_at_a_time_is_bounded() -> None:
    assert MAX_FRAME <= 64 * 1024
