"""A service with every kind of type and endpoint that a client module may have to tell of."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from typing_extensions import TypedDict

import natsrpc


class Color(enum.Enum):
    RED = "red"
    DARK_BLUE = "dark-blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    friend: Cat | None = None


class Node(BaseModel):
    """A node.

    With "quotes" and \\ a backslash and a quote at its "end"
    """

    value: int = Field(gt=0, le=10, description='the "value"')
    children: list[Node] = []
    tags: set[str] = Field(default_factory=set, max_length=3)
    parent: Node | None = None


class Everything(BaseModel):
    when: datetime.datetime
    day: datetime.date
    at: datetime.time
    took: datetime.timedelta
    uid: uuid.UUID
    price: decimal.Decimal
    blob: bytes
    anything: Any
    maybe: int | None
    maybe_not: int | None = None
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    color: Color = Color.RED
    level: Level
    one: Literal["x"] = "x"
    two: Literal["x", 1, None] = None
    extra_: dict[str, Any] = Field(alias="extra")
    class_: str = Field(alias="class", pattern="^a")
    dashed: str = Field(alias="a-b", default="q")
    json_: str = Field(alias="json")
    list_: list[int] = Field(alias="list", default=[1, 2])
    kind: str = Field(alias="Node", default="field named like a class")
    big: int | str | float
    pair: tuple[int, Node]
    many: tuple[int, ...]
    by_id: dict[int, Color]
    js: JsonValue = None
    since: datetime.date = datetime.date(2020, 1, 1)
    names: list[Annotated[str, Field(min_length=1)]]
    score: float = 0.5
    flag: bool = True
    home: Node = Node(value=1)
    made: str = Field(default_factory=lambda: "here")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    a: int


class Partial(TypedDict, total=False):
    there: int


@dataclasses.dataclass
class Data:
    a: int
    b: str = "x"


class OutOfStock(natsrpc.RpcError, code=409):
    """There are none left."""

    sku: str
    near: list[Node]


class Gone(natsrpc.RpcError, code=410, name="no-longer-there"):
    pass


moved = natsrpc.Event("wide.{where}.moved", Node, description="A node has moved.")
unread = natsrpc.Event("wide.unread", dict[str, list[Color]])
service = natsrpc.Service(
    "wide-world",
    version="1.0.0",
    description='everything\nat "once"',
    publishes=[moved, unread],
)


@service.handler(
    "wide.everything", name="everything", errors=(OutOfStock, natsrpc.ConflictError, Gone)
)
async def everything(value: Everything) -> Everything:
    """Give it back."""
    if value.class_ == "again":
        raise OutOfStock("none", sku="A-7", near=[Node(value=2)])
    return value


@service.handler("wide.gone", name="gone", errors=(Gone,))
async def gone() -> None:
    raise Gone("it was here")


@service.handler("wide.add", name="add")
async def add(
    a: int,
    b: int = 2,
    color: Color = Color.DARK_BLUE,
    timeout: float = 1.5,
    tags: list[str] | None = None,
) -> str:
    return f"{a + b} {color.value} {timeout} {tags}"


@service.handler("wide.{user}.get", name="get-it")
async def get(
    user: Annotated[str, natsrpc.Token()], n: Annotated[int, natsrpc.Embed]
) -> list[Open] | None:
    return [Open.model_validate({"a": n, "by": user})] if n else None


@service.handler("wide.raw", name="raw")
async def raw(data: bytes) -> bytes:
    return data[::-1]


@service.handler("wide.nothing", name="nothing", idempotent=True)
async def nothing() -> None: ...


@service.handler("wide.partial", name="list")
async def partial(value: Partial) -> Data:
    return Data(value.get("there", -1))


@service.handler("wide.data", name="import")
async def data(value: Data) -> Partial:
    return {"there": value.a} if value.b else {}


@service.handler("wide.level", name="Level")
async def level(value: Level) -> Color | Level:
    return value


@service.handler("wide.many", name="many")
async def many(value: dict[str, list[Node]]) -> tuple[int, str] | None:
    return len(value), ",".join(value)


@service.handler("wide.header", name="header")
async def header(who: Annotated[str, natsrpc.Header("Who")]) -> str:
    return who


@service.handler("wide.ticks", name="ticks")
async def ticks(count: int) -> AsyncIterator[Node]:
    for number in range(count):
        yield Node(value=number + 1)


@service.handler("wide.sum", name="sum")
async def total(numbers: AsyncIterator[int]) -> int:
    return sum([number async for number in numbers])


@service.handler("wide.both", name="both")
async def both(numbers: AsyncIterator[int]) -> AsyncIterator[str]:
    async for number in numbers:
        yield str(number)


@service.handler("any.*", name="any")
async def anything(value: Any) -> Any:
    return value


taken: list[object] = []


@service.subscriber(moved, name="follow")
async def follow(node: Node, where: Annotated[str, natsrpc.Token()]) -> None:
    """Follow what moved."""
    taken.append((node.value, where))


@service.subscriber("wide.counted.{by}")
async def counted(n: int, tags: list[str]) -> None:
    taken.append((n, tags))


@service.subscriber("audit.>")
async def audit(value: Any) -> None: ...
