"""Several nats-servers joined by routes, for tests of failover."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence

from natsrpc.errors import ServerStartError

from .child import Startable, looks
from .placement import what_is_missing
from .ports import hold_port
from .process import NatsServer

_OVERLOOKED = 10.0  # seconds without JetStream, after which a server is started again


class Cluster(Startable):
    """Several nats-servers on loopback, joined by routes.

    Use it by `async with`, by `with`, or by `start()` and `stop()`. `servers` are the servers; a
    test may stop, kill and start each of them.

    Args:
        n: the number of servers.
        config: the text of a configuration file for all of them.
        args: further command-line arguments for all of them.
        jetstream: enable JetStream on all of them, and wait at the start until it is ready: until a
            stream can have a replica on every one. Where the configuration asks clients for
            credentials or TLS, only until a leader of JetStream is known.
    """

    def __init__(
        self,
        n: int = 3,
        config: str | None = None,
        *,
        args: Sequence[str] = (),
        jetstream: bool = False,
    ) -> None:
        self.servers: list[NatsServer] = [
            NatsServer(config, args=args, jetstream=jetstream) for _ in range(n)
        ]
        self._jetstream = jetstream
        self._args = list(args)
        self._held_ports: list[socket.socket] = []

    @property
    def urls(self) -> list[str]:
        """The URLs of all servers, for a client's `servers`."""
        return [server.url for server in self.servers]

    def start(self) -> None:
        """Start all servers and wait until each advertises all the others to its clients.

        Raises:
            ServerNotFoundError: no executable was found.
            ServerStartError: one did not start, or they did not find each other. All are stopped.
        """
        self._hold_ports()
        try:
            for index, server in enumerate(self.servers):
                server.args = self._arguments(index)
                server.start()
            # Where ports cannot be held, the first servers were started before those of the last
            # were known. Now all are, so that a server restarted later has a route to each.
            for index, server in enumerate(self.servers):
                server.args = self._arguments(index)
            self.await_mesh()
            if self._jetstream:
                self._await_first_jetstream()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all servers and remove their files."""
        for server in self.servers:
            server.stop()
        while self._held_ports:
            self._held_ports.pop().close()

    def await_mesh(self, timeout: float = 10.0) -> None:
        """Wait until every running server advertises all running servers to its clients.

        Raises:
            ServerStartError: they did not within `timeout` seconds.
            OSError: a running server cannot be reached.
        """
        running = [server for server in self.servers if server.is_running]
        for _ in looks(timeout):
            if all(len(s.info().get("connect_urls", ())) >= len(running) for s in running):
                return
        logs = "\n".join(server.log for server in self.servers)
        raise ServerStartError(f"the cluster did not form within {timeout} s", log=logs)

    def await_jetstream(self, timeout: float = 30.0) -> None:
        """Wait until every running server takes a stream that has a replica on each of them (on
        five, where there are more).

        Raises:
            ServerStartError: they did not within `timeout` seconds.
        """
        running = [server for server in self.servers if server.is_running]
        for _ in looks(timeout):
            missing = what_is_missing(running) if running else "no server runs"
            if not missing:
                return
        logs = "\n".join(server.log for server in self.servers)
        raise ServerStartError(f"JetStream was not ready within {timeout} s: {missing}", log=logs)

    def _await_first_jetstream(self) -> None:
        """Wait as `await_jetstream`, and start one after the other again where that takes long: on
        a busy machine the servers of 2.10 may overlook one that came late, until it comes again."""
        for server in self.servers:
            with contextlib.suppress(ServerStartError):
                self.await_jetstream(_OVERLOOKED)
                return
            server.restart()
        self.await_jetstream()

    def _hold_ports(self) -> None:
        if not self._held_ports:
            held = [hold_port(server.host, server.cluster_port) for server in self.servers]
            self._held_ports = [holder for holder in held if holder is not None]

    def _cluster_port(self, index: int) -> int:
        """The port for routes to a server; -1 where it is not known before the server runs."""
        port = self.servers[index].cluster_port
        if not port and len(self._held_ports) == len(self.servers):
            port = self._held_ports[index].getsockname()[1]
        return port or -1

    def _arguments(self, index: int) -> list[str]:
        ports = [self._cluster_port(each) for each in range(len(self.servers))]
        arguments = ["--cluster_name", "natsrpc-test"]
        arguments += ["--cluster", f"nats://127.0.0.1:{ports[index]}"]
        arguments += ["--server_name", f"server-{index}"]
        others = [port for each, port in enumerate(ports) if each != index and port > 0]
        routes = [f"nats://127.0.0.1:{port}" for port in others]
        if self._jetstream and not routes:  # with JetStream it does not start without any
            routes = [f"nats://127.0.0.1:{max(ports[index], 1)}"]
        if routes:
            arguments += ["--routes", ",".join(routes)]
        return arguments + self._args
