"""What schemathesis, which loads this file, is told of NDJSON: a body is lines of items."""

from __future__ import annotations

import json
from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(context: Any, value: Any) -> bytes:
    """A body of two items, which are alike."""
    return (json.dumps(value) + "\n").encode() * 2
