"""Ways in which a caller's connection may reach a service's: each on nats-servers of its own."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from natsrpc.server import Cluster, NatsServer
from natsrpc.server.ports import hold_port

Options = dict[str, Any]


@dataclass
class Topology:
    """Where a service and its caller connect to.

    Attributes:
        worker, caller: the URLs.
        worker_options, caller_options: how they connect.
        prefix: what stands for `calc` in the caller's subjects.
        answers: messages that may be sent to one reply subject; 0 is any number.
        rewrites: whether a server gives the worker other reply subjects than the caller's own,
            so that the caller cannot name its call in a cancel.
        one_token: whether only `calc.<token>` comes through.
    """

    worker: str
    caller: str
    worker_options: Options = field(default_factory=dict)
    caller_options: Options = field(default_factory=dict)
    prefix: str = "calc"
    answers: int = 0
    rewrites: bool = False
    one_token: bool = False


Start = Callable[[], "contextlib.AbstractContextManager[Topology]"]

USERS = {"worker_options": {"user": "w", "password": "w"},
         "caller_options": {"user": "c", "password": "c"}}  # fmt: skip

SERVICE = '{service: "calc.>", response_type: stream}, {service: "$SRV.>", response_type: stream}'


def importing(account: str, to: str = "") -> str:
    """The imports of one account, of what another exports by `SERVICE`."""
    renamed = f', to: "{to}"' if to else ""
    return (
        f'{{service: {{account: {account}, subject: "calc.>"}}{renamed}}}, '
        f'{{service: {{account: {account}, subject: "$SRV.>"}}}}'
    )


def two_accounts(exports: str, imports: str, between: str = "") -> str:
    """A configuration in which one account serves, and another calls."""
    return f"""accounts {{
      SERVES: {{ users: [{{user: w, password: w}}], exports: [{exports}] }}
      {between}
      CALLS: {{ users: [{{user: c, password: c}}], imports: [{imports}] }}
    }}"""


@contextlib.contextmanager
def one_server(config: str | None = None, **facts: Any) -> Iterator[Topology]:
    with NatsServer(config) as server:
        yield Topology(server.url, server.url, **facts)


def one_account() -> Any:
    return one_server()


def import_of_streams() -> Any:
    return one_server(two_accounts(SERVICE, importing("SERVES")), **USERS, rewrites=True)


def import_to_another_subject() -> Any:
    config = two_accounts(SERVICE, importing("SERVES", to="api.>"))
    return one_server(config, **USERS, rewrites=True, prefix="api")


def import_of_an_import() -> Any:
    between = f"BETWEEN: {{ exports: [{SERVICE}], imports: [{importing('SERVES')}] }}"
    config = two_accounts(SERVICE, importing("BETWEEN"), between)
    return one_server(config, **USERS, rewrites=True)


def import_of_single_answers() -> Any:
    config = two_accounts('{service: "calc.>"}, {service: "$SRV.>"}', importing("SERVES"))
    return one_server(config, **USERS, rewrites=True, answers=1)


def import_of_one_token() -> Any:
    exports = SERVICE.replace("calc.>", "calc.*")
    config = two_accounts(exports, importing("SERVES").replace("calc.>", "calc.*"))
    return one_server(config, **USERS, rewrites=True, one_token=True)


def mapping() -> Any:
    return one_server('mappings: {"api.>": "calc.>"}', prefix="api")


def mapping_of_one_token() -> Any:
    return one_server('mappings: {"api.*": "calc.$1"}', prefix="api", one_token=True)


@contextlib.contextmanager
def free_ports(count: int) -> Iterator[list[int]]:
    """Ports for what a server tells nobody, held as long as they are used."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            held = hold_port("127.0.0.1")
            if held is None:  # not on Linux: free now, and hopefully for a while
                with socket.create_server(("127.0.0.1", 0)) as probe:
                    ports.append(probe.getsockname()[1])
            else:
                stack.enter_context(held)
                ports.append(held.getsockname()[1])
        yield ports


@contextlib.contextmanager
def leaf(hub: str = "", login: str = "", **facts: Any) -> Iterator[Topology]:
    with free_ports(1) as (port,):
        config = f'leafnodes {{ listen: "127.0.0.1:{port}" }}\n{hub}'
        remote = f'leafnodes {{ remotes: [{{ url: "nats://{login}127.0.0.1:{port}" }}] }}'
        with NatsServer(config) as far, NatsServer(remote) as near:
            yield Topology(far.url, near.url, **facts)


def leaf_and_import() -> Any:
    accounts = two_accounts(SERVICE, importing("SERVES"))
    return leaf(accounts, "c:c@", worker_options=USERS["worker_options"], rewrites=True)


@contextlib.contextmanager
def cluster() -> Iterator[Topology]:
    with Cluster(2) as servers:
        far, near = servers.urls
        yield Topology(far, near)


@contextlib.contextmanager
def gateway() -> Iterator[Topology]:
    with free_ports(2) as ports:
        names = "FAR", "NEAR"
        gateways = ", ".join(
            f'{{ name: {name}, url: "nats://127.0.0.1:{port}" }}'
            for name, port in zip(names, ports, strict=True)
        )
        far, near = (
            NatsServer(
                f'gateway {{ name: {name}, listen: "127.0.0.1:{port}", gateways: [{gateways}] }}'
            )
            for name, port in zip(names, ports, strict=True)
        )
        with far, near:
            yield Topology(far.url, near.url)


def allowing(worker: str, caller: str, prefixes: tuple[str, str], **facts: Any) -> Any:
    """One account whose two users may do no more than is said."""
    config = f"""authorization {{ users: [
      {{user: w, password: w, permissions: {{ {worker} }} }}
      {{user: c, password: c, permissions: {{ {caller} }} }}
    ] }}"""
    users = {name: dict(options) for name, options in USERS.items()}
    users["worker_options"]["inbox_prefix"], users["caller_options"]["inbox_prefix"] = prefixes
    return one_server(config, **users, **facts)


WORKER_LISTENS = (
    'subscribe: ["calc.> q", "calc.who", "calc.*._NATSRPC.cancel", "$SRV.>", "_INBOX_w.>"]'
)
OWN = "_INBOX_w", "_INBOX_c"


def least_permissions() -> Any:
    return allowing(
        f'{WORKER_LISTENS}, publish: ["calc.>", "_INBOX_c.>", "_INBOX_w.>"]',
        'subscribe: ["_INBOX_c.>"], publish: ["calc.>", "$SRV.>", "_INBOX_w.>"]',
        OWN,
    )


def answers(count: int) -> Any:
    """Both sides may publish what the service is called by, and so many answers to what they get.

    Frames to one address are answers to one message, however many others it sends: `max` bounds a
    whole conversation, and `expires` its time. -1 is no bound.
    """
    allowed = f'allow_responses: {{ max: {count}, expires: "1h" }}'
    return allowing(
        f'{WORKER_LISTENS}, publish: ["calc.>"], {allowed}',
        f'subscribe: ["_INBOX_c.>"], publish: ["calc.>", "$SRV.>"], {allowed}',
        OWN,
        answers=max(0, count),
    )


def allowed_answers() -> Any:
    return answers(-1)


def few_allowed_answers() -> Any:
    return answers(1000)


def allowed_single_answer() -> Any:
    return answers(1)


def inbox_of_each_user() -> Any:
    return allowing(
        'subscribe: { deny: ["_INBOX.>", "_INBOX_c.>"] }',
        'subscribe: { deny: ["_INBOX.>", "_INBOX_w.>"] }',
        OWN,
    )


ALL: dict[str, Start] = {
    start.__name__: start
    for start in (
        one_account,
        import_of_streams,
        import_to_another_subject,
        import_of_an_import,
        import_of_single_answers,
        import_of_one_token,
        mapping,
        mapping_of_one_token,
        leaf,
        leaf_and_import,
        cluster,
        gateway,
        least_permissions,
        allowed_answers,
        allowed_single_answer,
        inbox_of_each_user,
    )
}
