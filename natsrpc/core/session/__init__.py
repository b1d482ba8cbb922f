"""One physical connection: its socket, TLS, authentication, handshake, frames in and out."""

from .auth import check_files
from .creds import find as find_creds
from .session import Session, SessionHost
from .tls import TlsPolicy
from .transport import HIGH_WATER, Transport
from .upgrade import check_headers, check_package

__all__ = [
    "HIGH_WATER",
    "Session",
    "SessionHost",
    "TlsPolicy",
    "Transport",
    "check_files",
    "check_headers",
    "check_package",
    "find_creds",
]
