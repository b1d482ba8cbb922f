"""What a store knows of an object, and how that is written.

Ref: ADR-20.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from natsrpc.core import Headers, HeaderValues
from natsrpc.errors import ConfigError, ConfigTypeError, JetStreamError

from ..api import is_texts

DEFAULT_CHUNK = 128 * 1024
PREFIX = "OBJ_"
NO_TIME = "0001-01-01T00:00:00Z"
_DIGEST = "SHA-256="


class ObjectLink(NamedTuple):
    """Where a link leads: to an object, or with an empty name to a whole store."""

    bucket: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What a store knows of an object. `nuid` names its chunks, `digest` is "SHA-256=...".

    `revision` is the sequence of this information in the store's stream.
    """

    name: str
    bucket: str
    nuid: str = ""
    size: int = 0
    chunks: int = 0
    digest: str = ""
    description: str = ""
    headers: Headers = field(default_factory=Headers)
    metadata: Mapping[str, str] = field(default_factory=dict)
    max_chunk_size: int = DEFAULT_CHUNK
    link: ObjectLink | None = None
    deleted: bool = False
    mtime: datetime | None = None
    revision: int = 0


def check_object_name(name: str) -> str:
    """Return the name of an object: any text that is not empty.

    Raises:
        ConfigError, ConfigTypeError: it is empty, or no text.
    """
    if not isinstance(name, str):
        raise ConfigTypeError(f"the name of an object must be a str, not {name!r}")
    if not name:
        raise ConfigError("the name of an object must not be empty")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"the name of an object must be UTF-8 text, not {name!r}") from None
    return name


def checked_facts(
    description: str | None, headers: HeaderValues | None, metadata: Mapping[str, str] | None
) -> dict[str, Any]:
    """What a user says of an object, as fields of its information: those that are given.

    Raises:
        ConfigTypeError, BadHeaderError: one cannot be.
    """
    facts: dict[str, Any] = {}
    if description is not None:
        if not isinstance(description, str):
            raise ConfigTypeError(f"description=... must be a str, not {description!r}")
        facts["description"] = description
    if headers is not None:
        if not isinstance(headers, Mapping):
            raise ConfigTypeError(f"headers=... must be a mapping, not {headers!r}")
        facts["headers"] = Headers(headers)
    if metadata is not None:
        if not is_texts(metadata):
            raise ConfigTypeError(f"metadata=... must be a mapping of str to str, not {metadata!r}")
        facts["metadata"] = dict(metadata)
    return facts


def encoded_name(name: str) -> str:
    """An object's name as a token of a subject."""
    return base64.urlsafe_b64encode(name.encode()).decode()


def digest_text(digest: bytes) -> str:
    """A digest as it is written."""
    return _DIGEST + base64.urlsafe_b64encode(digest).decode()


def is_digest(text: str, digest: bytes) -> bool:
    """Whether a written digest is this one. Some write it without padding."""
    return text.rstrip("=") == digest_text(digest).rstrip("=")


def to_json(info: ObjectInfo) -> bytes:
    """The information as it is stored."""
    options: dict[str, Any] = {"max_chunk_size": info.max_chunk_size}
    if info.link is not None:
        options["link"] = {"bucket": info.link.bucket}
        if info.link.name:
            options["link"]["name"] = info.link.name
    raw: dict[str, Any] = {"name": info.name}
    if info.description:
        raw["description"] = info.description
    if info.headers:
        raw["headers"] = {name: info.headers.get_all(name) for name in info.headers}
    if info.metadata:
        raw["metadata"] = dict(info.metadata)
    raw |= {
        "options": options,
        "bucket": info.bucket,
        "nuid": info.nuid,
        "size": info.size,
        "mtime": NO_TIME,
        "chunks": info.chunks,
        "digest": info.digest,
    }
    if info.deleted:
        raw["deleted"] = True
    return json.dumps(raw).encode()


def from_json(data: bytes, *, mtime: datetime | None, revision: int) -> ObjectInfo:
    """The information that is stored; keys may be missing.

    Raises:
        JetStreamError: it is no information on an object.
    """
    try:
        raw = json.loads(data)
        options = raw.get("options") or {}
        link = options.get("link")
        return ObjectInfo(
            name=str(raw["name"]),
            bucket=str(raw.get("bucket", "")),
            nuid=str(raw.get("nuid", "")),
            size=int(raw.get("size", 0)),
            chunks=int(raw.get("chunks", 0)),
            digest=str(raw.get("digest", "")),
            description=str(raw.get("description", "")),
            headers=Headers(raw.get("headers") or {}),
            metadata=dict(raw.get("metadata") or {}),
            max_chunk_size=int(options.get("max_chunk_size") or DEFAULT_CHUNK),
            link=None if not link else ObjectLink(str(link["bucket"]), str(link.get("name", ""))),
            deleted=bool(raw.get("deleted", False)),
            mtime=mtime,
            revision=revision,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise JetStreamError(f"this is no information on an object: {data[:80]!r}") from error
