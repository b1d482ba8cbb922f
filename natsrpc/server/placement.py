"""Whether JetStream of a cluster is ready: by the word of its servers. `Cluster` asks at its start.

The rule kept here: the cluster makes a stream that has a replica on every server. No log and no
monitoring page tells as much: a leader is elected, and lists a server, before it knows what that
server can do; and a server that comes late may never log that there is a leader.
"""

from __future__ import annotations

import json
import socket
from typing import Any

from .process import NatsServer

_NAME = "natsrpc-ready"  # of a stream that is removed again
_INBOX = "_INBOX.natsrpc-ready"
_ANSWER = 1.0  # seconds for one answer: a server that just joined may lose a question
_NOT_YET = {10004, 10005, 10008, 10009, 10074}
"""Codes of a cluster that forms: incomplete, no peers, unavailable, no leader, not clustered."""
_MOST_REPLICAS = 5


def what_is_missing(servers: list[NatsServer]) -> str:
    """Say why these servers, one at least, do not place a stream on each of them yet; empty when
    they do.

    Where a server wants credentials or TLS, its log has to do: whether it names a leader.
    """
    config = {
        "name": _NAME,
        "subjects": [_NAME],
        "storage": "memory",
        "num_replicas": min(len(servers), _MOST_REPLICAS),
    }
    missing = _refusal(servers[0], f"STREAM.CREATE.{_NAME}", config)
    if not missing:
        _refusal(servers[0], f"STREAM.DELETE.{_NAME}", {})
    for server in servers[1:]:
        missing = missing or _refusal(server, "INFO", {})  # the leader answers, through this one
    return missing


def _refusal(server: NatsServer, call: str, body: dict[str, Any]) -> str:
    try:
        answer = _ask(server, f"$JS.API.{call}", json.dumps(body).encode())
    except (OSError, EOFError, ValueError) as error:  # a line that is cut off is no JSON
        return f"{server.url}: {error} (asked {call})"
    if answer is None:
        return "" if "metadata leader" in server.log else f"{server.url} knows of no leader"
    refused = answer.get("error", {})
    if refused.get("err_code") not in _NOT_YET:
        return ""
    return f"{server.url}: {refused.get('description')} (asked {call})"


def _ask(server: NatsServer, subject: str, data: bytes) -> dict[str, Any] | None:
    """Send a request over a connection of its own, and return the answer's object; None where the
    server would not take the connection as it is.

    Raises:
        EOFError, ValueError: the server closed the connection, or nobody is there to answer.
        OSError: the server cannot be reached, or nothing came in time.
    """
    with (
        socket.create_connection((server.host, server.port), _ANSWER) as sock,
        sock.makefile("rb") as reader,
    ):
        info = json.loads(reader.readline().removeprefix(b"INFO "))
        if info.get("auth_required") or info.get("tls_required"):
            return None
        sock.sendall(
            b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n'
            b"SUB %b 1\r\nPUB %b %b %d\r\n%b\r\n"
            % (_INBOX.encode(), subject.encode(), _INBOX.encode(), len(data), data)
        )
        for line in reader:
            if line.startswith(b"MSG "):
                answer: dict[str, Any] = json.loads(reader.read(int(line.split()[-1])))
                return answer
            if line.startswith(b"HMSG "):
                break
    raise EOFError("nobody answers")
