"""Small programs as text, which define handlers as users write them, right and wrong.

Text and not code, because type checkers would refuse most of it; and because what is tested is the
file and line of a message, too: each program is the file "shop.py".
"""

from __future__ import annotations

import re
import sys
import types
from dataclasses import dataclass
from typing import Any

PRELUDE = """
import asyncio, contextlib, dataclasses, datetime, decimal, enum, functools, pathlib, uuid
from collections.abc import *
from typing import *
import typing_extensions as te
from pydantic import AliasChoices, AliasPath, BaseModel, BeforeValidator, Field, Json, SecretStr
import natsrpc
from natsrpc import Context, Depends, Embed, Header, Msg, Service, Token
from natsrpc.rpc.signature.annotations import FOREIGN

class Item(BaseModel):
    sku: str

class Thing: pass

def one() -> int:
    return 1

def foreign(name, **fields):
    # a class as another framework has it
    return type(name, (), {"__module__": "fastapi.params", **fields})

service = Service("shop", version="1.0.0")
handler = service.handler
"""


@dataclass(frozen=True)
class Program:
    """One program of a table: its first line says what it is and what is to be seen."""

    title: str
    said: tuple[str, ...]
    source: str

    def name(self) -> str:
        """Its name in a list of tests."""
        return self.title

    def run(self) -> dict[str, Any]:
        """Run it, and return its names."""
        module = types.ModuleType("shop")
        sys.modules["shop"] = module
        try:
            exec(compile(PRELUDE, "prelude.py", "exec", dont_inherit=True), vars(module))
            exec(compile(self.source, "shop.py", "exec", dont_inherit=True), vars(module))
        finally:
            del sys.modules["shop"]
        return vars(module)


def programs(table: str) -> list[Program]:
    """The programs of a table. Each begins with a line "#: title | said | said". Before Python 3.12
    those that are in its syntax are left out."""
    found = []
    for block in table.split("\n#: ")[1:]:
        head, _, source = block.partition("\n")
        title, *said = (part.strip() for part in head.split(" | "))
        is_new = re.search(r"^ *type \w|def \w+\[", source, re.M)
        if not is_new or sys.version_info >= (3, 12):
            found.append(Program(title, tuple(said), source))
    return found
