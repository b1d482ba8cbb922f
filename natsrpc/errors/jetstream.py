"""Errors of JetStream: streams, consumers, key-value buckets and object stores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from .nats import NatsError
from .root import ConfigError


class JetStreamError(NatsError):
    """The root of JetStream's errors, and the class of those that have none of their own.

    `code` is like an HTTP status, `err_code` the server's number for exactly this error, and
    `description` the server's text; they are 0 and empty where the server did not say it.
    """

    def __init__(
        self, message: str = "", *, code: int = 0, err_code: int = 0, description: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.err_code = err_code
        self.description = description


class JetStreamNotEnabledError(JetStreamError):
    """There is no JetStream: not on the server, not for the account, or not in that domain."""


class StreamNotFoundError(JetStreamError):
    """There is no such stream."""


class StreamFullError(JetStreamError):
    """The stream holds as much as it may, and takes nothing more (`discard="new"`): the message was
    not stored. `description` says what is full: messages, bytes, or messages of the subject."""


class StreamNameInUseError(JetStreamError):
    """There is a stream of that name, with another configuration."""


class StreamDifference(NamedTuple):
    """A field of a stream that is not as it was declared. The values are those of a
    `StreamConfig`; None where it is not set."""

    stream: str
    field: str
    declared: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.field} is {self.found!r}, declared as {self.declared!r}"


class StreamDiffersError(StreamNameInUseError, ConfigError):
    """Streams are not as services declare them, so nothing was started.

    `differences` names each field of each stream, with both values.
    """

    def __init__(self, message: str = "", *, differences: Iterable[StreamDifference] = ()) -> None:
        super().__init__(message, code=400, err_code=10058)
        self.differences: tuple[StreamDifference, ...] = tuple(differences)


class ConsumerNotFoundError(JetStreamError):
    """There is no such consumer."""


class ConsumerNameInUseError(JetStreamError):
    """There is a consumer of that name, with another configuration."""


class MsgNotFoundError(JetStreamError):
    """The stream holds no such message."""


class WrongLastSequenceError(JetStreamError):
    """A publish expected another last sequence than the stream has, and was not stored.

    `last_seq` is the one that the stream has; None where the server did not name it.
    """

    def __init__(
        self,
        message: str = "",
        *,
        last_seq: int | None = None,
        code: int = 0,
        err_code: int = 0,
        description: str = "",
    ) -> None:
        super().__init__(message, code=code, err_code=err_code, description=description)
        self.last_seq = last_seq


class NoStreamResponseError(JetStreamError):
    """No stream stored the message: none has its subject, or the one that has it is without a
    leader. Nothing was stored. `subject` is the message's."""

    def __init__(self, message: str = "", *, subject: str = "", code: int = 503) -> None:
        super().__init__(message, code=code)
        self.subject = subject


class NoHeartbeatError(JetStreamError):
    """A consumer was silent for longer than two heartbeats."""


class ConsumerDeletedError(JetStreamError):
    """The consumer that messages were read from is gone, or its stream is."""


class ConsumerLeadershipChangedError(JetStreamError):
    """Another server took over the consumer while messages were waited for."""


class MsgAlreadyAckedError(JetStreamError):
    """The message was acked, nakked or terminated before."""


class BucketNotFoundError(JetStreamError):
    """There is no such key-value bucket or object store."""


class BadBucketError(JetStreamError):
    """The stream of that name is no key-value bucket or object store."""


class KeyNotFoundError(JetStreamError):
    """The bucket has no such key, or not with that revision. `key` is the one asked for."""

    def __init__(self, message: str = "", *, key: str = "") -> None:
        super().__init__(message, code=404)
        self.key = key


class KeyDeletedError(KeyNotFoundError):
    """The key was deleted or purged.

    `revision` is that of the marker, `operation` is "DEL" or "PURGE".
    """

    def __init__(
        self, message: str = "", *, key: str = "", revision: int = 0, operation: str = "DEL"
    ) -> None:
        super().__init__(message, key=key)
        self.revision = revision
        self.operation = operation


class KeyExistsError(JetStreamError):
    """The key is there already, so it was not created. `key` is that key, `revision` the last."""

    def __init__(
        self,
        message: str = "",
        *,
        key: str = "",
        revision: int = 0,
        code: int = 400,
        err_code: int = 10071,
    ) -> None:
        super().__init__(message, code=code, err_code=err_code)
        self.key = key
        self.revision = revision


class WrongLastRevisionError(JetStreamError):
    """The key's last revision is another one than was expected: nothing was written.

    `key` is that key, `last` the revision that it has; None where the server did not name it.
    """

    def __init__(
        self,
        message: str = "",
        *,
        key: str = "",
        last: int | None = None,
        code: int = 400,
        err_code: int = 10071,
    ) -> None:
        super().__init__(message, code=code, err_code=err_code)
        self.key = key
        self.last = last


class ObjectNotFoundError(JetStreamError):
    """The store has no object of that name. `name` is that name."""

    def __init__(self, message: str = "", *, name: str = "") -> None:
        super().__init__(message, code=404)
        self.name = name


class ObjectDeletedError(ObjectNotFoundError):
    """The object was deleted."""


class DigestMismatchError(JetStreamError):
    """An object that was read is not the one that was written: its bytes differ, or some are gone.

    `name` is the object's, `expected` and `found` say what differs: digests, or sizes.
    """

    def __init__(
        self, message: str = "", *, name: str = "", expected: str = "", found: str = ""
    ) -> None:
        super().__init__(message)
        self.name = name
        self.expected = expected
        self.found = found
