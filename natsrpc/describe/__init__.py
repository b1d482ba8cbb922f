"""A contract as text: schemas, AsyncAPI, OpenAPI, client modules, permissions, differences of two.

Everything here is pure: a contract or its document goes in, text or plain data comes out. The
command line calls it, and discovery for the answer to SCHEMA.
"""

from .asyncapi import asyncapi
from .diff import Change, ContractDiff, Step, diff, next_version, version_numbers
from .document import document, read_document
from .fitting import misfits
from .http import VALUE, HttpOperation, http_operation, is_raw, is_token, local_definition
from .openapi import openapi
from .permissions import Inboxes, Permissions, exports, imports, leading_wildcards, permissions
from .schemas import RAW, Node, endpoint_schema, error_schema, event_schema, published, schema
from .stub import stub
from .typescript import typescript

__all__ = [
    "RAW",
    "VALUE",
    "Change",
    "ContractDiff",
    "HttpOperation",
    "Inboxes",
    "Node",
    "Permissions",
    "Step",
    "asyncapi",
    "diff",
    "document",
    "endpoint_schema",
    "error_schema",
    "event_schema",
    "exports",
    "http_operation",
    "imports",
    "is_raw",
    "is_token",
    "leading_wildcards",
    "local_definition",
    "misfits",
    "next_version",
    "openapi",
    "permissions",
    "published",
    "read_document",
    "schema",
    "stub",
    "typescript",
    "version_numbers",
]
