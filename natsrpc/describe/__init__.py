"""A service's contract as text: schemas, AsyncAPI, client modules, permissions, differences of two.

Everything here is pure: a contract or its document goes in, text or plain data comes out. The
command line calls it, and discovery for the answer to SCHEMA.
"""

from .asyncapi import asyncapi
from .diff import Change, ContractDiff, Step, diff, next_version, version_numbers
from .document import document, read_document
from .fitting import misfits
from .permissions import Inboxes, Permissions, exports, imports, leading_wildcards, permissions
from .schemas import RAW, endpoint_schema, error_schema, event_schema, published, schema
from .stub import stub
from .typescript import typescript

__all__ = [
    "RAW",
    "Change",
    "ContractDiff",
    "Inboxes",
    "Permissions",
    "Step",
    "asyncapi",
    "diff",
    "document",
    "endpoint_schema",
    "error_schema",
    "event_schema",
    "exports",
    "imports",
    "leading_wildcards",
    "misfits",
    "next_version",
    "permissions",
    "published",
    "read_document",
    "schema",
    "stub",
    "typescript",
    "version_numbers",
]
