"""Inboxes and tokens cannot be guessed from one another."""

from __future__ import annotations

import os
import string
from itertools import pairwise

import pytest

from natsrpc.core.requests.inbox import INBOX_SIZE, TOKEN_SIZE, new_inbox, new_tokens, random_text

ALPHABET = set((string.ascii_letters + string.digits).encode())


def test_tokens_are_random_text_of_one_size_and_never_repeat() -> None:
    tokens = [token for _ in range(200) for token in new_tokens()]
    assert len(tokens) > 90_000
    assert len(set(tokens)) == len(tokens)
    assert {len(token) for token in tokens} == {TOKEN_SIZE}
    assert set(b"".join(tokens)) == ALPHABET


def test_tokens_are_not_sequential() -> None:
    tokens = new_tokens()
    assert sorted(tokens) not in (tokens, tokens[::-1])
    heads = [token[: TOKEN_SIZE // 2] for token in tokens]
    assert all(one != next_one for one, next_one in pairwise(heads))


def test_each_character_is_equally_likely() -> None:
    text = b"".join(b"".join(new_tokens()) for _ in range(50))
    counts = [text.count(bytes([character])) for character in sorted(ALPHABET)]
    mean = len(text) / len(ALPHABET)
    assert all(0.9 * mean < count < 1.1 * mean for count in counts)


def test_an_inbox_is_its_prefix_and_random_text() -> None:
    inboxes = {new_inbox() for _ in range(1000)}
    assert len(inboxes) == 1000
    for inbox in inboxes:
        prefix, _, rest = inbox.partition(".")
        assert prefix == "_INBOX"
        assert len(rest) == INBOX_SIZE
        assert set(rest.encode()) <= ALPHABET
    assert new_inbox("_INBOX_alice.x").startswith("_INBOX_alice.x.")


def test_text_is_completed_when_the_source_gives_too_few_usable_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draws = [bytes([255]) * 50, bytes([255] * 49 + [0]), bytes(range(50))]
    monkeypatch.setattr(os, "urandom", lambda size: draws.pop(0))
    assert len(random_text(INBOX_SIZE)) == INBOX_SIZE
    assert not draws
