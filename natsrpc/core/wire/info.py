"""`INFO`: the server's description of itself. The session reads the first one and every later one.

Every field may be absent, and an absent one means false, empty or zero. Each INFO is read into a
fresh object, so that nothing of an earlier one stays. The text is not authenticated before TLS, so
the type of every field is checked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any

from natsrpc.errors import RemoteProtocolError


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The fields of one `INFO`, as the server sent them; `max_payload` is in bytes.

    Ref: https://docs.nats.io/reference/reference-protocols/nats-protocol#info.
    """

    server_id: str = ""
    server_name: str = ""
    version: str = ""
    host: str = ""
    port: int = 0
    proto: int = 0
    headers: bool = False
    max_payload: int = 0
    client_id: int = 0
    client_ip: str = ""
    cluster: str = ""
    domain: str = ""
    jetstream: bool = False
    auth_required: bool = False
    nonce: str = ""
    tls_required: bool = False
    tls_verify: bool = False
    tls_available: bool = False
    ldm: bool = False
    connect_urls: tuple[str, ...] = field(default=())

    @classmethod
    def parse(cls, text: bytes) -> ServerInfo:
        """Return the fields of an INFO. Unknown fields are ignored.

        Args:
            text: the JSON object behind the word `INFO`.

        Raises:
            RemoteProtocolError: it is no JSON object, or a field has the wrong type.
        """
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RemoteProtocolError("INFO is not valid JSON") from error
        if not isinstance(raw, dict):
            raise RemoteProtocolError("INFO is not a JSON object")
        return cls(**{name: _read(raw[name], name) for name in _TYPES if raw.get(name) is not None})


_TYPES: dict[str, type] = {
    f.name: type(f.default) for f in fields(ServerInfo) if f.name != "connect_urls"
}
_TYPES["connect_urls"] = tuple


def _read(value: Any, name: str) -> Any:
    wanted = _TYPES[name]
    if wanted is tuple:
        if isinstance(value, list):
            return tuple(item for item in value if isinstance(item, str))
    elif type(value) is wanted and (type(value) is not int or value >= 0):
        return value
    raise RemoteProtocolError(f"INFO field {name!r} is not a valid {wanted.__name__}")
