"""examples/services/members.py: who has a token, who has none, and who may not."""

from __future__ import annotations

import datetime

import jwt
import pytest

from examples.services import members
from natsrpc import ForbiddenError, UnauthorizedError


def token(key: str = members.KEY, minutes: float = 5.0, **claims: object) -> dict[str, str]:
    expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
    text = jwt.encode({"exp": expires, **claims}, key, "HS256")
    return {"Authorization": f"Bearer {text}"}


async def test_a_token_tells_who_calls() -> None:
    async with members.service.test() as client:
        ada = await client.call(members.me, headers=token(sub="ada"))
        assert ada == members.Member(sub="ada")
        root = token(sub="root", roles=["admin"])
        assert await client.call(members.remove, "bob", headers=root) == "root removed bob"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic YWRhOmFkYQ=="},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer a.b.c"},
        token(sub="ada", key="another key, of somebody else's making"),
        token(sub="ada", minutes=-5.0),
        token(roles=["admin"]),
        token(sub="ada", roles="admin"),
        {"Authorization": f"Bearer {jwt.encode({'sub': 'ada', 'exp': 9e9}, '', 'none')}"},
    ],
)
async def test_without_a_token_of_ours_nobody_is_known(headers: dict[str, str]) -> None:
    async with members.service.test() as client:
        with pytest.raises(UnauthorizedError) as caught:
            await client.call(members.me, headers=headers)
        assert caught.value.code == 401
        with pytest.raises(UnauthorizedError):
            await client.call(members.remove, "bob", headers=headers)


async def test_who_is_known_may_not_do_everything() -> None:
    async with members.service.test() as client:
        with pytest.raises(ForbiddenError) as caught:
            await client.call(members.remove, "bob", headers=token(sub="ada"))
        assert caught.value.code == 403
