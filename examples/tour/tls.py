"""TLS: by scheme, with a CA of your own, with a client certificate, with a whole context.

Run it against a server that demands client certificates, with the files that made it:
`python examples/tour/tls.py tls://localhost:4443 ca.pem client.pem client-key.pem`.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

from natsrpc import TLSError
from natsrpc.core import connect


async def main(server: str, ca: str, cert: str, key: str) -> None:
    # The scheme alone: the system's roots decide, and they don't know a CA of our own.
    try:
        await connect(server)
    except TLSError as error:
        print(f"by scheme alone: {type(error).__name__}")

    # Our CA, but no certificate to show.
    try:
        await connect(server, tls_ca=ca)
    except TLSError as error:
        print(f"without a client certificate: {type(error).__name__}")

    async with connect(server, tls_ca=ca, tls_cert=(cert, key)) as nc:
        print(f"with a client certificate: {nc.status.name}")

    # Everything your way.
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(cert, key)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    async with connect(server, tls=context) as nc:
        print(f"with a context: {nc.status.name}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
