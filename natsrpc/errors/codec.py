"""Errors of the codecs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .root import NatsRpcError


class CodecError(NatsRpcError):
    """The root of the codecs' errors."""


class EncodeError(CodecError):
    """A value cannot be encoded."""


class DecodeError(CodecError):
    """Bytes cannot be decoded into the type asked for.

    `errors` lists `{"path": "a.0.b", "reason": "…"}`. Where the bytes are not the codec's format at
    all (`malformed` is then true), no path is known. Input values never appear in it.
    """

    def __init__(
        self,
        message: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        malformed: bool = False,
    ) -> None:
        super().__init__(message)
        self.errors: tuple[dict[str, str], ...] = tuple(dict(e) for e in errors)
        self.malformed = malformed


class ContractError(DecodeError):
    """A reply does not fit the type that its caller expects: the two keep different contracts.

    `subject` is what was called; `errors` names the fields.
    """

    def __init__(
        self,
        message: str,
        *,
        subject: str,
        errors: Sequence[Mapping[str, str]] = (),
        malformed: bool = False,
    ) -> None:
        super().__init__(message, errors=errors, malformed=malformed)
        self.subject = subject


class UnknownCodecError(CodecError, LookupError):
    """No codec of that name or content type is registered."""
