"""What the tests of `natsrpc.core` run against when a real nats-server won't do on demand.

Four tools, all on one event loop with the client under test, none of them importing natsrpc:

`ScriptedServer`: a NATS server that does only what the test says, and remembers everything::

    async with ScriptedServer(info={"max_payload": 100}) as server:   # sends INFO, answers PING
        client = await connect(server.url)
        peer = await server.accept()                 # the connection the client just made
        await client.subscribe("a.*", cb=got.append)
        sub = await peer.expect(b"SUB")              # frames up to it are skipped, in order
        peer.msg(b"a.b", sub.sid, b"hello")          # .info() .ping() .err() .send(raw)
        await peer.send_split(b"PING\\r\\n", at=[1]) # the client reads b"P", then b"ING\\r\\n"
        peer.stall()                                 # stop reading; .resume()
        peer.reset()                                 # RST; .close() is FIN, .half_close() SHUT_WR
        assert peer.ops() == [b"CONNECT", b"PING", b"SUB"]

  Leave the handshake to the test with `handshake=False` (nothing is sent) or
  `auto_pong=False` (INFO is sent, PINGs stay unanswered). `tls=context` upgrades after INFO,
  `tls_first=True` before it. `server.refuse()` gives ECONNREFUSED until `await server.listen()`.
  Several servers at once are several `async with`. On leaving the block a malformed client
  frame is an error, so each such test also checks our writing.

`Proxy`: a recorder in front of a real server, which can also misbehave::

    async with Proxy(nats_server.port) as proxy:
        client = await connect(proxy.url)
        link = proxy.links[0]
        link.up, link.down                           # every byte, client -> server and back
        link.frames()                                # link.up as frames
        proxy.piece = 1                              # forward byte by byte
        proxy.delay = 0.01                           # seconds before each forwarded chunk
        proxy.stall(); proxy.resume()                # also stall(up=False): replies only
        proxy.cut()                                  # RST on both sides; cut(reset=False) is FIN
        proxy.refuse(); await proxy.listen()

`warped`: a test whose clock jumps to the next timer whenever nothing is left to do, so two
minutes of pings take no time and timeouts are exact. Only for peers in the same process::

    @warped
    async def test_stale_connection_is_dropped() -> None:
        await elapse(120)

Waiting, always for the thing itself and with a deadline: `eventually(predicate)` for a state,
`steady(value)` for what comes to a stop, `until_done(attempt, *errors)` and
`until_raised(error, attempt)` for what succeeds or fails at last, `soon(predicate)` where no event
loop runs. `turns(n)` lets the loop run; `no_leaks()` checks that a block leaves no task and no
socket behind.
"""

from .clock import WarpLoop, elapse, warped
from .frames import Frame, FrameReader, MalformedFrameError, parse_frames
from .proxy import Link, Proxy
from .server import Peer, ScriptedServer
from .waiting import (
    eventually,
    no_leaks,
    open_sockets,
    soon,
    steady,
    turns,
    until_done,
    until_raised,
)

__all__ = [
    "Frame",
    "FrameReader",
    "Link",
    "MalformedFrameError",
    "Peer",
    "Proxy",
    "ScriptedServer",
    "WarpLoop",
    "elapse",
    "eventually",
    "no_leaks",
    "open_sockets",
    "parse_frames",
    "soon",
    "steady",
    "turns",
    "until_done",
    "until_raised",
    "warped",
]
