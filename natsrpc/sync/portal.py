"""`Portal`: the way from a blocking client to its async one, which it opens when it is needed.

The async client, its connection and its thread are a `Session`. A portal has one or none: none
before the first use of a lazy client, in a process that was forked, and when the connection was
lost for good. The next use opens one; after `close`, none is opened any more.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

from natsrpc.core import Opening
from natsrpc.errors import ConfigError, NatsError
from natsrpc.rpc import Call, CallObserver, Client, Middleware, Policy

from .background import Background, closed
from .job import Job

FLUSH = 2.0
"""Seconds that the server may take, when the process ends, to confirm what was published."""


class Session:
    """An async client, and the thread that it lives in until its connection is closed.

    Args:
        opening: opens the client.
        on_end: called in that thread when the session takes no more.

    Raises:
        ConnectionClosedError: the interpreter ends.
        NatsError: what `opening` raises.
    """

    __slots__ = ("background", "client", "perform", "run")

    def __init__(
        self, opening: Callable[[], Opening[Client]], on_end: Callable[[], object]
    ) -> None:
        self.background: Background = Background(on_end)
        self.run: Callable[..., Any] = self.background.run
        self.perform: Callable[[Job], Any] = self.background.perform
        try:
            self.client: Client = self.run(_opened, opening)
        except BaseException:
            self.background.end()
            raise
        self.background.at_exit = self._leave
        self.background.post(self._watch)

    async def _watch(self) -> None:
        """End with the connection, whoever closes it."""
        await self.client.connection.wait_closed()
        self.background.stop()

    async def _leave(self) -> None:
        """Close, once the server has what was published; tell `on_error` where it does not say so,
        for what was published last may be lost."""
        connection = self.client.connection
        try:
            if connection.is_connected:
                await connection.flush(FLUSH)
        except NatsError as error:
            connection.link.report(error, None)
        await self.client.close()


class Portal:
    """Opens the session of one blocking client, and closes it.

    Args:
        opening: opens the async client.
    """

    def __init__(self, opening: Callable[[], Opening[Client]]) -> None:
        self._opening = opening
        self._lock = threading.RLock()
        self._is_opening = False
        self._is_closed = False
        self._policy: Policy | None = None
        self._middleware: list[Middleware[Call]] = []
        self._observer: CallObserver | None = None
        self.session: Session | None = None
        _portals.add(self)

    @property
    def policy(self) -> Policy | None:
        """The policy of the async client, of each that is opened."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy | None) -> None:
        with self._lock:
            self._policy = policy
            if self.session is not None:
                self.session.run(_set_policy, self.session.client, policy)

    def add(self, middleware: Middleware[Call]) -> None:
        """Put a middleware around the calls of the async client, of each that is opened."""
        with self._lock:
            self._middleware.append(middleware)
            if self.session is not None:
                self.session.run(_add_middleware, self.session.client, middleware)

    @property
    def observer(self) -> CallObserver | None:
        """The observer of the async client, of each that is opened."""
        return self._observer

    @observer.setter
    def observer(self, observer: CallObserver | None) -> None:
        with self._lock:
            self._observer = observer
            if self.session is not None:
                self.session.run(_set_observer, self.session.client, observer)

    def open(self) -> Session:
        """Return the session, opened if there is none.

        Raises:
            ConnectionClosedError: the client is closed.
            NatsError: it cannot connect.
        """
        with self._lock:
            if self.session is not None:
                return self.session
            if self._is_closed:
                raise closed()
            if self._is_opening:  # in this very thread: a finalizer, run in the midst of it
                raise ConfigError("the client is used while this thread is opening it")
            self._is_opening = True
            try:
                return self._open()
            finally:
                self._is_opening = False

    def _open(self) -> Session:
        portal = weakref.ref(self)
        opened: list[Session] = []

        def forget() -> None:
            found = portal()
            if found is not None and opened and found.session is opened[0]:
                found.session = None

        session = Session(self._opening, forget)
        opened.append(session)
        # a client that is dropped, and was not closed, leaves no thread behind
        weakref.finalize(self, session.background.leave).atexit = False
        if self._policy is not None or self._middleware or self._observer is not None:
            session.run(self._furnish, session.client)
        self.session = session
        if session.background.is_ended:  # before it was known here: the connection is closed
            self.session = None
        return session

    async def _furnish(self, client: Client) -> None:
        client.policy = self._policy
        for middleware in self._middleware:
            client.middleware(middleware)
        if self._observer is not None:
            client.observe(self._observer)

    def end(self, function: Callable[[Client], Awaitable[Any]]) -> None:
        """Close for good, by what an async client is closed with.

        A client without a session is closed in place. The thread has ended when this returns.
        """
        with self._lock:
            self._is_closed = True
            session, self.session = self.session, None
        if session is not None:
            try:
                session.run(function, session.client)
            finally:
                session.background.end()

    def after_fork(self) -> None:
        """Begin anew in a process that was forked: no other thread holds a lock here."""
        self._lock = threading.RLock()
        self._is_opening = False
        self.session = None


_portals: weakref.WeakSet[Portal] = weakref.WeakSet()


async def _opened(opening: Callable[[], Opening[Client]]) -> Client:
    return await opening()


async def _set_policy(client: Client, policy: Policy | None) -> None:
    client.policy = policy


async def _set_observer(client: Client, observer: CallObserver | None) -> None:
    client.observe(observer)


async def _add_middleware(client: Client, middleware: Middleware[Call]) -> None:
    client.middleware(middleware)


def _after_fork() -> None:
    for portal in list(_portals):
        portal.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
