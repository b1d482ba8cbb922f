"""The blocking client and its process: forks, and the end of the interpreter. Real processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

import natsrpc
from natsrpc.testing import NatsServer
from tests.core.harness.waiting import soon

from .desk import served

pytestmark = pytest.mark.live

told: list[str] = []
notes = natsrpc.Service("notes", version="1.0.0")


@notes.handler("notes.tell")
async def tell(word: str) -> None:
    told.append(word)


@notes.handler("notes.echo")
async def echo(word: str) -> str:
    return word


@pytest.fixture
def url(nats_server: NatsServer) -> Iterator[str]:
    told.clear()
    with served(nats_server.url, notes):
        yield nats_server.url


HEAD = """
import os, sys, threading, time
import natsrpc, natsrpc.sync
url = sys.argv[1]
"""


def run(url: str, program: str, *, code: int = 0, warn: str = "error") -> list[str]:
    """The lines that a program prints; it ends in time, with this code and without a complaint."""
    done = subprocess.run(
        [sys.executable, "-W", warn, "-W", "ignore:This process:DeprecationWarning", "-c",
         HEAD + program, url],
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (code, "")
    return done.stdout.split()


# the end of the process


def test_a_client_that_is_never_closed_ends_with_the_process(url: str) -> None:
    program = """
client = natsrpc.sync.connect(url)
print(client.call("notes.echo", "a", str))
for number in range(1000):
    client.publish("notes.tell", str(number))
"""
    assert run(url, program) == ["a"]
    soon(lambda: len(told) == 1000, what="all that was published")


def test_an_error_ends_the_process_as_ever(url: str) -> None:
    program = """
client = natsrpc.sync.connect(url)
client.publish("notes.tell", "last")
sys.exit(3)
"""
    assert run(url, program, code=3) == []
    soon(lambda: told == ["last"])


def test_threads_that_outlive_the_main_one_still_publish(url: str) -> None:
    program = """
client = natsrpc.sync.connect(url)
def later():
    threading.main_thread().join()
    client.publish("notes.tell", client.call("notes.echo", "later", str))
threading.Thread(target=later).start()
"""
    assert run(url, program) == []
    soon(lambda: told == ["later"])


def test_streams_and_calls_of_daemon_threads_do_not_hold_up_the_end(url: str) -> None:
    program = """
client = natsrpc.sync.connect(url)
begun = threading.Event()
patient = natsrpc.Policy(attempts=9, wait=60.0, max_wait=60.0)
def hang():
    begun.set()
    try:
        client.call("notes.nobody", policy=patient, timeout=None)
    except natsrpc.ConnectionClosedError:
        pass
threading.Thread(target=hang, daemon=True).start()
begun.wait()
"""
    assert run(url, program) == []


def test_the_end_does_not_wait_for_a_server_that_is_gone(fresh_server: NatsServer) -> None:
    program = """
client = natsrpc.sync.connect(url)
print("connected", flush=True)
sys.stdin.read()
client.publish("notes.tell", "into the buffer")
"""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", HEAD + program, fresh_server.url],
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "connected\n"
        fresh_server.stop()
        _, errors = process.communicate("", timeout=30)
    assert process.returncode == 0
    # what is lost is told: it was kept, or sent before this client had seen the end
    assert errors.startswith(("UnsentMessagesError: 1 messages", "FlushInterruptedError: "))


def test_the_end_tells_that_a_server_left_with_what_it_was_sent() -> None:
    program = """
client = natsrpc.sync.connect(url)
client.publish("notes.tell", "into a socket")
"""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        subprocess.Popen(
            [
                *(sys.executable, "-W", "error", "-c", HEAD + program),
                f"nats://127.0.0.1:{listening.getsockname()[1]}",
            ],
            env=os.environ | {"PYTHONPATH": os.getcwd()},
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        peer, _ = listening.accept()
        with peer, peer.makefile("rb") as lines:
            peer.sendall(b'INFO {"server_id":"A","max_payload":1048576,"headers":true}\r\n')
            published = False
            for line in lines:
                published = published or b"PUB notes.tell" in line
                if line == b"PING\r\n" and published:
                    break  # it asks whether the message is there
                if line == b"PING\r\n":
                    peer.sendall(b"PONG\r\n")
        listening.close()
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors.startswith("FlushInterruptedError: connection lost during a flush"), errors


def test_use_at_the_very_end_works_or_says_why(url: str) -> None:
    program = """
import atexit
lazy = natsrpc.sync.connect(url, lazy=True)
client = natsrpc.sync.connect(url, lazy=True)
@atexit.register
def last():
    client.publish("notes.tell", "last")
    try:
        lazy.publish("notes.tell", "never before")
    except natsrpc.ConnectionClosedError as error:
        print("process" in str(error))
client.call("notes.echo", "a", str)
class Tells:
    def __del__(self):
        try:
            client.publish("notes.tell", "too late")
        except natsrpc.NatsRpcError as error:
            print("told")
tells = Tells()
"""
    assert run(url, program)[-1:] == ["told"]
    soon(lambda: "last" in told)


# forks

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@needs_fork
def test_a_child_has_a_connection_of_its_own(url: str) -> None:
    program = """
client = natsrpc.sync.connect(url, name="parent")
def number():
    return client._portal.session.client.connection.server_info.client_id
client.call("notes.echo", "a", str)
parent = number()
child = os.fork()
if child == 0:
    assert client.call("notes.echo", "child", str) == "child"
    assert number() != parent
    client.publish("notes.tell", "from the child")
    sys.exit(0)
for _ in range(100):
    assert client.call("notes.echo", "parent", str) == "parent"
assert os.waitpid(child, 0)[1] == 0
assert client.call("notes.echo", "after", str) == "after"
assert number() == parent
print("done")
"""
    assert run(url, program) == ["done"]
    soon(lambda: told == ["from the child"])


@needs_fork
def test_the_parent_s_socket_is_not_the_child_s(url: str) -> None:
    program = """
import socket
client = natsrpc.sync.connect(url)
client.call("notes.echo", "a", str)
session = client._portal.session
raw = session.client.connection.link
def sockets():
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            pass
    return {name for name in found if name.startswith(("socket:", "anon_inode:[eventpoll]"))}
before = sockets()
child = os.fork()
if child == 0:
    kept = sockets() & before
    # one end of the loop's own socket pair is all that may be left
    os._exit(len(kept) if len(kept) > 1 else 0)
assert os.waitpid(child, 0)[1] == 0
client.close()
print("done")
"""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this system does not show what is open")
    assert run(url, program) == ["done"]


@needs_fork
def test_a_child_that_uses_nothing_ends_without_a_word(url: str) -> None:
    program = """
with natsrpc.sync.connect(url) as client:
    client.call("notes.echo", "a", str)
    child = os.fork()
    if child == 0:
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    print(client.call("notes.echo", "b", str))
"""
    assert run(url, program) == ["b"]


@needs_fork
def test_what_was_open_in_the_parent_says_so_in_the_child(url: str) -> None:
    program = """
client = natsrpc.sync.connect(url)
stream = client.stream("notes.words", 5, str)
closed = natsrpc.sync.connect(url)
closed.close()
child = os.fork()
if child == 0:
    for use in (lambda: next(stream), lambda: closed.call("notes.echo", "a", str)):
        try:
            use()
        except natsrpc.ConnectionClosedError as error:
            print(str(error).replace(" ", "_"), flush=True)
    stream.close()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    forked, closed = run(url, program)
    assert "forked" in forked
    assert closed == "the_client_is_closed"


@needs_fork
def test_a_fork_while_other_threads_call_hangs_nobody(url: str) -> None:
    program = """
client = natsrpc.sync.connect(url)
over = threading.Event()
def work():
    while not over.is_set():
        client.call("notes.echo", "parent", str)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for _ in range(5):
    child = os.fork()
    if child == 0:
        ok = client.call("notes.echo", "child", str) == "child"
        client.close()
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
over.set()
for thread in threads:
    thread.join()
client.close()
print("done")
"""
    assert run(url, program) == ["done"]


@needs_fork
@pytest.mark.parametrize("lazy", [True, False])
def test_workers_that_are_forked_off_a_loaded_application(url: str, lazy: bool) -> None:
    program = f"""
import multiprocessing
client = natsrpc.sync.connect(url, lazy={lazy})
def work(number):
    client.publish("notes.tell", str(number))
    return client.call("notes.echo", str(number), str)
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(3) as pool:
        print(*pool.map(work, range(20)))
        pool.close()
        pool.join()
"""
    assert run(url, program) == [str(number) for number in range(20)]
    soon(lambda: sorted(told, key=int) == [str(number) for number in range(20)])


@needs_fork
def test_a_child_of_multiprocessing_loses_nothing_that_it_published(url: str) -> None:
    program = """
import multiprocessing
client = natsrpc.sync.connect(url, lazy=True)
def work():
    for number in range(20):  # more than the socket takes at once
        client.publish("notes.tell", str(number) + "x" * 900_000)
processes = multiprocessing.get_context("fork")
child = processes.Process(target=work)
child.start()
child.join()
print(child.exitcode)
"""
    assert run(url, program) == ["0"]
    soon(lambda: len(told) == 20)


@needs_fork
def test_a_fork_while_another_thread_connects_hangs_nobody(url: str) -> None:
    program = """
import socket
silent = socket.create_server(("127.0.0.1", 0))
address = f"nats://127.0.0.1:{silent.getsockname()[1]}"
client = natsrpc.sync.connect(address, lazy=True, connect_timeout=1.0)
def use():
    try:
        client.call("notes.echo", "a", str)
    except natsrpc.NoServersError:
        return "nobody"
thread = threading.Thread(target=use)
thread.start()
accepted, _ = silent.accept()  # now it waits for the server's first word
child = os.fork()
if child == 0:
    os._exit(0 if use() == "nobody" else 1)
print(os.waitpid(child, 0)[1])
thread.join()
accepted.close()
silent.close()
"""
    assert run(url, program) == ["0"]
