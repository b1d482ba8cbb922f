"""A dependency that knows the caller by the JWT in a header, and refuses all others.

MEMBERS_KEY=$KEY natsrpc run examples/services/members.py
natsrpc call members.me --header "Authorization: Bearer $TOKEN"
"""

from __future__ import annotations

import os
from typing import Annotated

import jwt
from pydantic import BaseModel

import natsrpc
from natsrpc import Depends, ForbiddenError, Header, UnauthorizedError

KEY = os.environ.get("MEMBERS_KEY", "only for trying this out, not for others")


class Member(BaseModel):
    """Who calls: what the token says."""

    sub: str
    roles: list[str] = []


def member(authorization: Annotated[str, Header("Authorization")] = "") -> Member:
    """The caller.

    Raises:
        UnauthorizedError: there is no token, or it is not ours, or it has expired.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise UnauthorizedError("expected the header Authorization: Bearer ...")
    try:
        claims = jwt.decode(token, KEY, ["HS256"], options={"require": ["sub", "exp"]})
        return Member.model_validate(claims)
    except (jwt.InvalidTokenError, ValueError):
        raise UnauthorizedError("the token is not valid") from None


def admin(caller: Annotated[Member, Depends(member)]) -> Member:
    """The caller, who is an administrator.

    Raises:
        UnauthorizedError: as `member`.
        ForbiddenError: the caller is none.
    """
    if "admin" not in caller.roles:
        raise ForbiddenError("only administrators may do this")
    return caller


service = natsrpc.Service("members", version="1.0.0", description="knows who calls")


@service.handler("members.me", errors=(UnauthorizedError,))
async def me(caller: Annotated[Member, Depends(member)]) -> Member:
    """Tell callers who they are."""
    return caller


@service.handler("members.remove", errors=(UnauthorizedError, ForbiddenError))
async def remove(name: str, caller: Annotated[Member, Depends(admin)]) -> str:
    """Remove a member."""
    return f"{caller.sub} removed {name}"


if __name__ == "__main__":
    natsrpc.run(service)
