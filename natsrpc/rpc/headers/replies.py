"""Which reply subjects are answered.

A service, or a caller, may publish where its peers may not. Who names a reply subject makes it
publish there: so nothing is answered on the server's own subjects, nor on ours.
"""

from __future__ import annotations

from ..contract import is_reserved

REWRITTEN = (b"_R_.", b"_GR_.")
"""How reply subjects begin that servers write between accounts, and between clusters."""


def may_answer(reply: bytes, prefixes: tuple[bytes, ...] = ()) -> bool:
    """Whether a reply subject is answered: `$...`, ours, and those that begin with none of the
    prefixes (where there are any) are not."""
    if reply.startswith(b"$") or is_reserved(reply):
        return False
    return not prefixes or reply.startswith(prefixes)
