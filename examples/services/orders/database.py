"""A database for each service, opened as it starts, and a session for each request.

`lifespan=database(Base)` gives a service its own file. A parameter `session: Session` is a session
whose work is committed before the answer leaves: if the commit fails, the caller gets an error. If
the handler raises, its work is rolled back.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Annotated

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.schema import CreateTable

import natsrpc

Sessions = async_sessionmaker[AsyncSession]


def database(
    base: type[DeclarativeBase],
) -> Callable[[natsrpc.Service], AbstractAsyncContextManager[Sessions]]:
    """Make a lifespan that opens the service's own file with the tables of `base`."""

    @asynccontextmanager
    async def lifespan(service: natsrpc.Service) -> AsyncGenerator[Sessions, None]:
        file = Path(os.environ.get("ORDERS_FOLDER", "."), f"{service.name}.db")
        engine = create_async_engine(f"sqlite+aiosqlite:///{file}", connect_args={"timeout": 30.0})
        try:
            async with engine.begin() as connection:
                for table in base.metadata.sorted_tables:  # workers start at the same time
                    await connection.execute(CreateTable(table, if_not_exists=True))
            yield async_sessionmaker(engine)
        finally:
            await engine.dispose()

    return lifespan


async def session_of_request(context: natsrpc.Context) -> AsyncIterator[AsyncSession]:
    """Begin a transaction. It ends with the request: by a commit, or by a rollback."""
    sessions: Sessions = context.state  # what the lifespan yielded
    async with sessions.begin() as session:
        yield session


Session = Annotated[AsyncSession, natsrpc.Depends(session_of_request)]
