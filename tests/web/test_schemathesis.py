"""The gateway against its own OpenAPI, by schemathesis: what the document allows is answered, and
what it does not allow is refused, both as it says.

    python -m tests.web.test_schemathesis 200    # by hand: so many examples for each operation
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from examples.services import calc, codescan, helpdesk, stream
from natsrpc.testing import serve_in_memory
from natsrpc.web import Gateway, bind, host

from .shop import shop

# Services take more than their schemas say: pydantic reads `false` as a number, and "yes" as true.
TAKEN_ANYHOW = "negative_data_rejection"

ROOT = Path(__file__).parent.parent.parent

# A handler that waits, and a stream that goes on, for as long as they are told to.
SLOW = "/sleep$|/weather/watch$"


async def judged(examples: int) -> tuple[int, str]:
    """What schemathesis says of the gateway in front of the example services."""
    services = (calc.service, codescan.service, helpdesk.service, stream.service, shop())
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(serve_in_memory(*services))
        gateway = Gateway(client)
        await stack.enter_async_context(gateway.lifespan())
        listener = stack.enter_context(bind("127.0.0.1:0"))
        url = await stack.enter_async_context(host(gateway, listener))
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("schemathesis"),
            "run",
            f"{url}/openapi.json",
            *(
                "--checks",
                "all",
                "--exclude-checks",
                TAKEN_ANYHOW,
                "--phases",
                "coverage,fuzzing",
                "--seed",
                "7",
            ),
            *("--max-examples", str(examples), "--exclude-path-regex", SLOW),
            *("--continue-on-failure", "--no-color", "--request-timeout", "20"),
            cwd=stack.enter_context(tempfile.TemporaryDirectory()),  # it keeps files where it runs
            env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.web.ndjson", "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.slow
async def test_the_gateway_does_as_its_document_says() -> None:
    code, said = await judged(2)
    assert code == 0, said


if __name__ == "__main__":
    code, said = asyncio.run(judged(int(sys.argv[1])))
    print(said)
    sys.exit(code)
