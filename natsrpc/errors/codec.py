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


class SubjectStoredError(ContractError):
    """A stream answered the request in place of a service: it stores the subject that was called.

    JetStream acknowledges what a stream stores to the reply subject, mostly before the service
    answers; the caller takes the first answer. So requests and what streams store need subjects of
    their own. Whether the service ran is not known. `stream` is the stream's name, `reason` why it
    did not store the request, where it said so.
    """

    def __init__(self, subject: str, *, stream: str, reason: str = "") -> None:
        what = f"did not store the request ({reason})" if reason else "stored the request"
        super().__init__(
            f"the reply of {subject!r} is no service's: the stream {stream!r} stores this subject, "
            f"{what}, and its acknowledgement came before the service's answer; requests and "
            "what streams store need subjects of their own",
            subject=subject,
        )
        self.stream: str = stream
        self.reason: str = reason


class UnknownCodecError(CodecError, LookupError):
    """No codec of that name or content type is registered."""
