"""`natsrpc docs`: the page of the services, for whoever works on this machine."""

from __future__ import annotations

import re
import signal
import socket

import httpx
import pytest

from natsrpc.testing import NatsServer

from .processes import Command, run_command

pytestmark = pytest.mark.once


def test_the_page_is_served_until_it_is_told_to_end(nats_server: NatsServer) -> None:
    with Command("docs", "--no-open", "--server", nats_server.url) as command:
        line = command.wait_for("open http://127.0.0.1:")
        found = re.search(r"http://[0-9.:]+/docs", line)
        assert found
        page = httpx.get(found[0])
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        rebound = httpx.get(found[0], headers={"Host": "evil.example"})
        assert rebound.status_code == 421
        command.signal(signal.SIGTERM)
        assert command.wait() == 0


def test_a_port_that_is_in_use_is_one_sentence(nats_server: NatsServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, out, err = run_command("docs", "--port", port, "--server", nats_server.url)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert port in err
