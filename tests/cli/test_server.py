"""`natsrpc server`: a nats-server in the foreground."""

from __future__ import annotations

import signal

from .processes import Command, run_command


def test_server_runs_in_the_foreground_with_arguments_of_its_own(unused_tcp_port: int) -> None:
    port = str(unused_tcp_port)
    with Command("server", "--port", port, "--name", "in-front") as command:
        command.wait_for("Server is ready")
        code, _, err = run_command("ls", "-t", "300ms", NATS_URL=f"nats://127.0.0.1:{port}")
        assert (code, err) == (0, "no services answered\n")
        command.signal(signal.SIGTERM)
        command.wait()
    assert "in-front" in command.output
    assert f"127.0.0.1:{port}" in command.output
