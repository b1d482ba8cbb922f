"""`Context`: one request, as handlers and middleware see it."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any, Protocol

from natsrpc.core import Headers, Msg
from natsrpc.errors import (
    BadRequestError,
    DeadlineExceededError,
    RpcError,
)

from .afterwards import Afterwards
from .tables import EndpointContract, ServiceContract


def check_text(what: str, text: str) -> str:
    """What came in a subject or a header, to be read by a handler.

    Raises:
        BadRequestError: it is not UTF-8; nothing that holds it could be answered.
    """
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise BadRequestError(f"the request's {what} is not UTF-8") from None
    return text


class Coding(Protocol):
    """The functions that read a request's body and write its response."""

    decode: Callable[[bytes], Any]
    decode_item: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]


class Request(Protocol):
    """What a context knows of its request's state: `msg` is None once it is answered by another
    than its handler, and `why` is that answer."""

    msg: Msg | None
    why: RpcError


class Context:
    """One request, as its handler and the middleware around it see it.

    `deadline` is an absolute `loop.time()`. `time_left`, `cancelled` and `raise_if_cancelled` work
    in any thread. `decode` turns the body into the type the handler reads. `state` is what the
    service's lifespan yielded, `client` the `natsrpc.Client` of the connection that the service is
    served on. `reply_headers` is sent with the reply; what the request's headers held is never
    copied there. `written` holds an answer and its bytes, where they had to be written before the
    handler's dependencies cleaned up. `shared_headers` are the request's headers as all requests
    of a caller share them, without those that differ with each request and only pass through, such
    as a trace's: to be read, and never changed. `delivery` is what a worker handles: it is set for
    workers alone.
    """

    __slots__ = (
        "_clock",
        "_reply_headers",
        "_request",
        "_tokens",
        "afterwards",
        "client",
        "deadline",
        "decode",
        "decode_item",
        "delivery",
        "encode",
        "endpoint",
        "msg",
        "service",
        "shared_headers",
        "state",
        "stream",
        "written",
    )

    delivery: Any

    def __init__(
        self,
        msg: Msg,
        endpoint: EndpointContract,
        service: ServiceContract,
        deadline: float | None,
        state: Any,
        client: Any,
        coding: Coding,
        request: Request | None = None,
        clock: Callable[[], float] = time.monotonic,
        headers: Headers | None = None,
    ) -> None:
        self.msg: Msg = msg
        self.endpoint: EndpointContract = endpoint
        self.service: ServiceContract = service
        self.deadline: float | None = deadline
        self.state: Any = state
        self.client: Any = client
        self.decode: Callable[[bytes], Any] = coding.decode
        self.encode: Callable[[Any], bytes] = coding.encode
        self.decode_item: Callable[[bytes], Any] = coding.decode_item
        self.shared_headers: Headers = msg.headers if headers is None else headers
        self.stream: Any = None
        self.written: tuple[Any, bytes] | None = None
        self._request = request
        self._clock = clock
        self._tokens: list[str] | None = None
        self._reply_headers: dict[str, str] | None = None
        self.afterwards: Afterwards | None = None

    @property
    def subject(self) -> str:
        """The subject the request was sent to."""
        return self.msg.subject

    @property
    def headers(self) -> Headers:
        """The request's headers."""
        return self.msg.headers

    @property
    def data(self) -> bytes:
        """The request's body as it came."""
        return self.msg.data

    @property
    def reply_headers(self) -> dict[str, str]:
        """Headers to send with the reply, for the handler to fill."""
        if self._reply_headers is None:
            self._reply_headers = {}
        return self._reply_headers

    @property
    def has_reply_headers(self) -> bool:
        """Whether anything was put into `reply_headers`."""
        return bool(self._reply_headers)

    def after_reply(self, function: Callable[..., Any], *args: Any) -> None:
        """Call `function(*args)` once the answer is out, plain functions in a thread.

        Functions run one after the other, in the order given, with the context variables of this
        moment and no deadline. They run only if the request succeeds: not if it ends with an error,
        is cancelled, or its answer cannot be sent. By then its dependencies are cleaned up. What a
        function raises is logged and counted, and stops no other. A draining service waits for
        them; the request keeps its slot until the last one ends.

        Raises:
            ConfigError: it is no function, or this request is over.
        """
        if self.afterwards is None:
            self.afterwards = Afterwards()
        self.afterwards.add(function, args)

    def outlive(self) -> None:
        """Forget the deadline: the answer is out, and what runs from now on may take its time.
        Called by the endpoint."""
        self.deadline = None
        self._request = None

    def time_left(self) -> float | None:
        """Seconds until the deadline, never below 0; None where there is no deadline."""
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - self._clock())

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for this any more: the caller cancelled it or is gone, the deadline
        has passed, or the service stops and did not wait for it.

        An async handler is cancelled then; a plain one runs on, and looks here now and then.
        """
        request = self._request
        return (request is not None and request.msg is None) or self.time_left() == 0.0

    def raise_if_cancelled(self) -> None:
        """End a plain handler that nobody waits for: what it raises is not caught, and not logged.

        Raises:
            CallCancelledError: the caller cancelled the call, or is gone.
            DeadlineExceededError: the deadline has passed.
            UnavailableError: the service stops.
        """
        request = self._request
        if request is not None and request.msg is None:
            raise copy.copy(request.why)  # which the answer is made of
        if self.time_left() == 0.0:
            raise DeadlineExceededError(f"deadline of endpoint {self.endpoint.name!r} passed")

    def token(self, index: int) -> str:
        """The token at `index` of the subject, counted from 0.

        Raises:
            BadRequestError: the subject is not UTF-8.
        """
        if self._tokens is None:
            self._tokens = check_text("subject", self.msg.subject).split(".")
        return self._tokens[index]

    def __repr__(self) -> str:
        return f"<Context {self.service.name}/{self.endpoint.name} subject={self.subject!r}>"
