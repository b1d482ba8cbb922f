"""Definitions in every clothing mean what they say: each program is served, and called.

The first line of each program has a call and what it gives. `call` is `client.call`, and `error`
what the call is refused with.
"""

from __future__ import annotations

import ast
import types
from typing import Any

import msgspec  # noqa: F401  where it is loaded, types are looked through for Structs
import pytest

from natsrpc.errors import RpcError

from .programs import Program, programs

MEANINGS = """
#: a token by its name | call("users.bob.pay", {"user": "eve", "n": 1}) | "bob 1"
@handler("users.{user}.pay", name="pay")
async def f(user: str, n: Annotated[int, Embed]) -> str: return f"{user} {n}"
#: a scalar beside such a token, named | call("users.bob.pay", {"user": "eve", "n": 1}) | "bob 1"
@handler("users.{user}.pay", name="pay")
async def f(user: str, n: int) -> str: return f"{user} {n}"
#: a scalar beside a token by its name, bare | call("users.bob.pay", 1) | "bob 1"
@handler("users.{user}.pay", name="pay")
async def f(user: str, n: int) -> str: return f"{user} {n}"
#: such a scalar has its constraints | error("users.bob.pay", {"n": 1}) | "Input should be greater"
@handler("users.{user}.pay", name="pay")
async def f(user: str, n: Annotated[int, Field(gt=1)]) -> str: return f"{user} {n}"
#: a list beside a token | error("users.bob.pay", {"n": [1]}) | "Input should be a valid"
@handler("users.{user}.pay", name="pay")
async def f(user: str, n: list[int]) -> str: return f"{user} {n}"
#: a token by its name, alone | call("users.bob", {"user": "eve"}) | "bob"
@handler("users.{user}", name="get")
async def f(user: str) -> str: return user
#: a token by its name is converted | call("users.7") | 8
@handler("users.{user}", name="get")
async def f(user: int) -> int: return user + 1
#: a token by its name that does not convert | error("users.bob") | "token.user: Input should be"
@handler("users.{user}", name="get")
async def f(user: int) -> int: return user
#: a token by its name has constraints | error("users.bobby") | "token.user: String should have"
@handler("users.{user}", name="get")
async def f(user: Annotated[str, Field(max_length=3)]) -> str: return user
#: a token by its name in a dependency | call("users.bob", 1) | "bob 1"
def who(user: str) -> str: return user
@handler("users.{user}", name="get")
async def f(n: int, name: Annotated[str, Depends(who)]) -> str: return f"{name} {n}"
#: a token by its name in a group | call("acme.x", 1) | "acme 1"
@service.group("{tenant}").handler("x")
async def f(tenant: str, n: int) -> str: return f"{tenant} {n}"
#: Embed makes a field of the name of a token | call("users.bob", {"user": "eve"}) | "eve"
@handler("users.{user}", name="get")
async def f(user: Annotated[str, Embed]) -> str: return user
#: a context of the name of a token | call("users.bob") | "users.bob"
@handler("users.{context}", name="get")
async def f(context: Context) -> str: return context.subject
#: a token as bytes | call("users.b\\u00f6b") | "b'b\\\\xc3\\\\xb6b'"
@handler("users.{user}", name="get")
async def f(user: bytes) -> str: return repr(user)
#: a marker behind an alias | call("x", {"one": 5, "n": 2}) | [1, 2]
One = te.TypeAliasType("One", Annotated[int, Depends(one)])
@handler("x")
async def f(one: One, n: Annotated[int, Embed]) -> list[int]: return [one, n]
#: a marker behind a statement | call("x", {"one": 5, "n": 2}) | [1, 2]
type One = Annotated[int, Depends(one)]
@handler("x")
async def f(one: One, n: Annotated[int, Embed]) -> list[int]: return [one, n]
#: a marker behind two aliases | call("x", 2, headers={"T": "3"}) | [3, 2]
type Tenant = Annotated[int, Header("T")]
type Mine = Tenant
@handler("x")
async def f(tenant: Mine, n: int) -> list[int]: return [tenant, n]
#: a marker behind an alias with a parameter | call("x", 2) | [1, 2]
T = TypeVar("T")
One = te.TypeAliasType("One", Annotated[T, Depends(one)], type_params=(T,))
@handler("x")
async def f(one: One[int], n: int) -> list[int]: return [one, n]
#: a marker behind a generic statement | call("x", 2, headers={"T": "3"}) | [3, 2]
type Of[T] = Annotated[T, Header("T")]
@handler("x")
async def f(tenant: Of[int], n: int) -> list[int]: return [tenant, n]
#: parameters of an alias in another order | call("x", {"3": "a"}) | [["3", "a"]]
type Back[A, B] = Annotated[dict[B, A], Field(min_length=1)]
@handler("x")
async def f(a: Back[str, int]) -> list[Any]: return [[str(k + 0), v] for k, v in a.items()]
#: a marker behind NewType | call("x", 2) | [1, 2]
One = NewType("One", Annotated[int, Depends(one)])
@handler("x")
async def f(one: One, n: int) -> list[int]: return [one, n]
#: a marker that is given a constraint | error("x", 2, headers={"T": "0"}) | "header.T: Input"
Tenant = Annotated[int, Header("T")]
@handler("x")
async def f(tenant: Annotated[Tenant, Field(ge=1)], n: int) -> int: return n
#: the context behind an alias | call("x", 2) | "x 2"
Ctx = te.TypeAliasType("Ctx", Context)
@handler("x")
async def f(c: Ctx, n: int) -> str: return f"{c.subject} {n}"
#: the context behind NewType | call("x", 2) | "x 2"
Ctx = NewType("Ctx", Context)
@handler("x")
async def f(c: Ctx, n: int) -> str: return f"{c.subject} {n}"
#: the raw payload behind an alias | call("x", b"abc") | 3
Raw = te.TypeAliasType("Raw", bytes)
@handler("x")
async def f(a: Raw) -> int: return len(a)
#: an alias that contains itself | call("x", {"a": [1, {"b": 2}]}) | {"a": [1, {"b": 2}]}
type Tree = dict[str, Tree] | list[Tree] | int
@handler("x")
async def f(a: Tree) -> Tree: return a
#: an empty reply behind an alias | call("x", 1) | None
Nothing = te.TypeAliasType("Nothing", None)
@handler("x")
async def f(a: int) -> Nothing: ...
#: a generic function | call("x", 5) | 5
@handler("x")
async def f[T: int](a: "T") -> T: return a
#: a decorator's own signature | call("x", 4, headers={"T": "mine"}) | 4
import inspect
def tenant_checked(function):
    async def inner(*a, tenant, **k):
        assert tenant == "mine"
        return await function(*a, **k)
    functools.update_wrapper(inner, function)
    kind, type_ = inspect.Parameter.KEYWORD_ONLY, 'Annotated[str, Header("T")]'
    extra = inspect.Parameter("tenant", kind, annotation=type_)
    own = inspect.signature(function)
    inner.__signature__ = own.replace(parameters=[*own.parameters.values(), extra])
    return inner
@handler("x")
@tenant_checked
async def f(n: int) -> int: return n
#: a partial with its keyword | call("x", {"a": 9, "b": 2}) | "3 2"
async def f(a: int, b: Annotated[int, Embed]) -> str: return f"{a} {b}"
handler("x")(functools.partial(f, a=3))
#: a decorated partial with its keyword | call("x", {"user": "eve", "n": 2}) | "admin 2"
def decorated(function):
    async def inner(*a, **k): return await function(*a, **k)
    return functools.update_wrapper(inner, function)
async def f(user: str, n: Annotated[int, Embed]) -> str: return f"{user} {n}"
handler("x")(decorated(functools.partial(f, user="admin")))
#: a partial in a partial | call("x", 5) | 534
async def f(a: int, b: int, c: int) -> int: return a * 100 + b * 10 + c
handler("x")(functools.partial(functools.partial(f, b=3), c=4))
#: a partial's keyword over a dependency | call("x", 5) | 59
async def f(a: int, b: Annotated[int, Depends(one)]) -> int: return a * 10 + b
handler("x")(functools.partial(f, b=9))
#: by keyword only, alone | call("x", 5) | 5
@handler("x")
async def f(*, a: int) -> int: return a
#: by keyword only, in a thread | call("x", 5) | 5
@handler("x")
def f(*, a: int) -> int: return a
#: by position only | call("x", {"a": 1}) | 123
@handler("x")
async def f(a: int, b: int = 2, /, c: int = 3) -> int: return a * 100 + b * 10 + c
#: an object with __call__ | call("x", 5) | 5
class Desk:
    async def __call__(self, a: int) -> int: return a
handler("x")(Desk())
#: a static method | call("x", 5) | 5
class Desk:
    @staticmethod
    async def f(a: int) -> int: return a
handler("x")(Desk.f)
#: a class method | call("x", 5) | 5
class Desk:
    @classmethod
    async def f(cls, a: int) -> int: return a
handler("x")(Desk.f)
#: a decorated method | call("f", {"a": 1, "b": 2}) | 3
def decorated(function):
    @functools.wraps(function)
    async def inner(self, *a, **k): return await function(self, *a, **k)
    return inner
class Desk:
    @decorated
    async def f(self, a: int, b: int) -> int: return a + b
service.register(Desk())
#: overloads | call("x", "q") | "q"
@overload
async def f(a: int) -> int: ...
@overload
async def f(a: str) -> str: ...
async def f(a: int | str) -> int | str: return a
handler("x")(f)
#: a plain function that returns a coroutine | call("x", 5) | 5
@handler("x")
def f(a: int) -> Awaitable[int]:
    async def later(): return a
    return later()
#: a model of the function around hides the module's | call("x", {"n": 4}) | 4
def make():
    class Item(BaseModel):
        n: int
    @handler("x")
    async def f(a: "Item") -> int: return a.n
make()
#: a model of the class around | call("f", {"n": 4}) | 4
class Desk:
    class Question(BaseModel):
        n: int
    async def f(self, a: "Question") -> int: return a.n
service.register(Desk())
#: a Field as the default | call("x", {"a": 1}) | 5
@handler("x")
async def f(a: int, b: int = Field(default=5, ge=1)) -> int: return b
#: a Field's constraint | error("x", {"a": 1, "b": -3}) | "b: Input should be greater"
@handler("x")
async def f(a: int, b: int = Field(default=5, ge=1)) -> int: return b
#: a Field without a default | error("x", {"a": 1}) | "b: Field required"
@handler("x")
async def f(a: int, b: int = Field(ge=1)) -> int: return b
#: a Field of the whole body | error("x", 0) | "Input should be greater"
@handler("x")
async def f(a: int = Field(default=5, ge=1)) -> int: return a
#: a Field of a header | error("x", headers={"A": "0"}) | "header.A: Input should be greater"
@handler("x")
async def f(a: Annotated[int, Header("A")] = Field(default=5, ge=1)) -> int: return a
#: a Field's default of a header | call("x") | 5
@handler("x")
async def f(a: Annotated[int, Header("A")] = Field(default=5, ge=1)) -> int: return a
#: a default outside of its constraint, as pydantic has it | call("x", {"a": 1}) | 0
@handler("x")
async def f(a: int, b: int = Field(default=0, ge=1)) -> int: return b
#: a default that is converted where that is asked for | call("x", {"a": 1}) | 8
@handler("x")
async def f(a: int, b: int = Field(default="7", validate_default=True)) -> int: return b + 1
#: an alias | call("x", {"from": "a", "to": "b"}) | "ab"
@handler("x")
async def f(to: str, from_: Annotated[str, Field(alias="from")]) -> str: return from_ + to
#: an alias instead of the name | error("x", {"from_": "a", "to": "b"}) | "from: Field required"
@handler("x")
async def f(to: str, from_: Annotated[str, Field(alias="from")]) -> str: return from_ + to
#: an alias, called by handler | call(f, {"from_": "a", "to": "b"}) | "ab"
@handler("x")
async def f(to: str, from_: Annotated[str, Field(alias="from")]) -> str: return from_ + to
#: an alias, called by handler and alias | call(f, {"from": "a", "to": "b"}) | "ab"
@handler("x")
async def f(to: str, from_: Annotated[str, Field(alias="from")]) -> str: return from_ + to
#: an alias of a model, called by handler | call(f, {"it": {"sku": "a"}, "n": 1}) | "a"
@handler("x")
async def f(n: int, it: Annotated[Item, Field(alias="item")]) -> str: return it.sku
#: an alias of the only field | call("x", {"from": "a"}) | "a"
@handler("x")
async def f(from_: Annotated[str, Embed, Field(alias="from")]) -> str: return from_
#: one of two aliases | call("x", {"n": 1, "second": 4}) | 4
@handler("x")
async def f(n: int, a: int = Field(validation_alias=AliasChoices("1st", "second"))) -> int: return a
#: an alias in MessagePack | call("x", {"from": "a", "n": 1}, codec="msgpack") | "a"
@handler("x")
async def f(n: int, from_: Annotated[str, Field(alias="from")]) -> str: return from_
#: a default that is made | [await call("x", {"a": 1}) for _ in "ab"] | [[1, 2], [1, 2]]
@handler("x")
async def f(a: int, b: list[int] = Field(default_factory=lambda: [1])) -> list[int]:
    b.append(2)
    return b
#: a default that is made, alone | [await call("x"), await call("x")] | [[1, 2], [1, 2]]
@handler("x")
async def f(b: list[int] = Field(default_factory=lambda: [1])) -> list[int]:
    b.append(2)
    return b
#: a default that is made of other fields | call("x", {"a": 1}) | 2
@handler("x")
async def f(a: int, b: int = Field(default_factory=lambda data: data["a"] + 1)) -> int: return b
#: a default that can be changed, alone | [await call("x"), await call("x")] | [[1, 2], [1, 2]]
@handler("x")
async def f(b: list[int] = [1]) -> list[int]:
    b.append(2)
    return b
#: a default deep inside | [await call("x"), await call("x")] | [[[1, 2]], [[1, 2]]]
@handler("x")
async def f(b: tuple[list[int], ...] = ([1],)) -> tuple[list[int], ...]:
    b[0].append(2)
    return b
#: a default that is an object | [await call("x", {"a": 1}) for _ in "ab"] | [[1, 2], [1, 2]]
class Own:
    def __init__(self): self.items = [1]
@handler("x")
async def f(a: int, b: Any = Own()) -> list[int]:
    b.items.append(2)
    return b.items
#: a default that is an object, alone | [await call("x") for _ in "ab"] | [[1, 2], [1, 2]]
class Own:
    def __init__(self): self.items = [1]
@handler("x")
async def f(b: Any = Own()) -> list[int]:
    b.items.append(2)
    return b.items
#: a default of a header | [await call("x"), await call("x")] | [["a", "b"], ["a", "b"]]
@handler("x")
async def f(b: Annotated[list[str], Header("B")] = ["a"]) -> list[str]:
    b.append("b")
    return b
#: defaults of many types | call("x", {"a": 1}) | 1
class Color(enum.Enum):
    RED = "red"
class Perhaps(TypedDict, total=False):
    a: int
class Own:
    @classmethod
    def __get_pydantic_core_schema__(cls, source, handler):
        from pydantic_core import core_schema
        text = core_schema.str_schema()
        return core_schema.no_info_after_validator_function(lambda _: cls(), text)
@handler("x")
async def f(
    a: int, b: float = 1, c: list[float] = [1], d: Color = Color.RED, e: Sequence[int] = (),
    g: pathlib.Path = pathlib.Path("."), h: datetime.timedelta = datetime.timedelta(1),
    i: dict[str, Item] = {"a": Item(sku="x")}, j: Literal["a"] | None = "a", k: Perhaps = {},
    l: Own = Own(), m: list[Own] = [Own()], n: float = float("nan"), o: Any = object(),
    p: Annotated[list[str], BeforeValidator(str.split)] = [], q: SecretStr = SecretStr("x"),
    r: uuid.UUID = uuid.UUID(int=1), s: Item | None = None, t: "Item | None" = Item(sku="y"),
) -> int: return a
#: a header as bytes | call("x", headers={"A": "abc"}) | "b'abc'"
@handler("x")
async def f(a: Annotated[bytes, Header("A")]) -> str: return repr(a)
#: a header as bytes that can be changed | call("x", headers={"A": "abc"}) | "bytearray(b'abc')"
@handler("x")
async def f(a: Annotated[bytearray, Header("A")]) -> str: return repr(a)
#: a header that its own validator splits | call("x", headers={"A": "1,2"}) | [1, 2]
@handler("x")
async def f(
    a: Annotated[list[int], BeforeValidator(lambda v: v.split(",")), Header("A")],
) -> list[int]: return a
#: a header as bytes that is missing | call("x") | "None"
@handler("x")
async def f(a: Annotated[bytes | None, Header("A")]) -> str: return repr(a)
#: a header as bytes with a constraint | error("x", headers={"A": "abc"}) | "header.A: Data should"
@handler("x")
async def f(a: Annotated[bytes, Header("A"), Field(max_length=2)]) -> str: return repr(a)
#: all values of a header | call("x", headers={"A": ["1", "2"]}) | [1, 2]
@handler("x")
async def f(a: Annotated[list[int], Header("A")]) -> list[int]: return a
#: all values of a header, bad | error("x", headers={"A": ["1", "b"]}) | "header.A: Input should be"
@handler("x")
async def f(a: Annotated[list[int], Header("A")]) -> list[int]: return a
#: all values of a header as bytes | call("x", headers={"A": ["1", "b"]}) | "(b'1', b'b')"
@handler("x")
async def f(a: Annotated[tuple[bytes, ...], Header("A")]) -> str: return repr(a)
#: all values of a header that is missing | error("x") | "header.A: is required"
@handler("x")
async def f(a: Annotated[list[int], Header("A")]) -> list[int]: return a
#: perhaps values of a header | call("x") | None
@handler("x")
async def f(a: Annotated[list[int] | None, Header("A")]) -> list[int] | None: return a
#: a header as JSON | call("x", headers={"A": '{"a": 4}'}) | 4
@handler("x")
async def f(a: Annotated[Json[dict[str, int]], Header("A")]) -> int: return a["a"]
#: headers of other types | call("x", headers={"A": "1.5", "B": "1", "C": "red"}) | "1.5 True RED"
class Color(enum.Enum):
    RED = "red"
@handler("x")
async def f(
    a: Annotated[decimal.Decimal, Header("A")], b: Annotated[bool, Header("B")],
    c: Annotated[Color, Header("C")],
) -> str: return f"{a} {b} {c.name}"
#: keys that JSON can carry | call("x", {"1": "a"}) | {"00000000-0000-0000-0000-000000000001": 1}
@handler("x")
async def f(a: dict[int, str]) -> dict[uuid.UUID, int]: return {uuid.UUID(int=k): k for k in a}
#: a dataclass that depends on headers | call("x", headers={"T": "acme"}) | "acme"
@dataclasses.dataclass
class Caller:
    tenant: Annotated[str, Header("T")]
@handler("x")
async def f(caller: Annotated[Caller, Depends(Caller)]) -> str: return caller.tenant
#: a class that depends on headers | call("x") | "nobody"
class Caller:
    def __init__(self, tenant: Annotated[str, Header("T")] = "nobody"): self.tenant = tenant
@handler("x")
async def f(caller: Annotated[Caller, Depends(Caller)]) -> str: return caller.tenant
#: a generic class with a parameter | call("x") | "x"
T = TypeVar("T")
class Repository(Generic[T]):
    def __init__(self, c: Context) -> None: self.c = c
@handler("x")
async def f(r: Annotated[Repository[Item], Depends(Repository[Item])]) -> str: return r.c.subject
#: a dependency without a hash | call("x") | [5, 1]
@dataclasses.dataclass
class Limit:
    n: int
    calls: int = 0
    def __call__(self) -> Any:
        self.calls += 1
        return self
limit = Limit(5)
@handler("x")
async def f(a: Annotated[Any, Depends(limit)], b: Annotated[Any, Depends(limit)]) -> list[int]:
    return [a.n, b.calls]
#: a dependency without a hash that reads the request | call("x") | "x 5"
@dataclasses.dataclass
class Limit:
    n: int
    def __call__(self, c: Context) -> str: return f"{c.subject} {self.n}"
@handler("x")
async def f(a: Annotated[str, Depends(Limit(5))]) -> str: return a
"""


def _check(text: str) -> Any:
    """An async function of `call` and `error` that evaluates a text."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    text = text if "await " in text else f"await {text}"
    return compile(text, "call", "eval", flags=flags, dont_inherit=True)


@pytest.mark.parametrize("program", programs(MEANINGS), ids=Program.name)
async def test_a_definition_means_what_it_says(program: Program) -> None:
    names = program.run()
    code, expected = _check(program.said[0]), ast.literal_eval(program.said[1])
    async with names["service"].test() as client:

        async def error(target: str, request: Any = None, **options: Any) -> str:
            with pytest.raises(RpcError) as caught:
                await client.call(target, request, **options)
            return str(caught.value)[: len(expected)]

        function = types.FunctionType(code, {**names, "call": client.call, "error": error})
        assert await function() == expected


async def test_a_dependency_without_a_hash_is_overridden() -> None:
    (program,) = programs(
        "\n#: -\n@dataclasses.dataclass\nclass Limit:\n    n: int\n"
        "    def __call__(self) -> int: return self.n\n"
        "limit, same = Limit(5), Limit(5)\n"
        '@handler("x")\n'
        "async def f(a: Annotated[int, Depends(limit)], b: Annotated[int, Depends(same)])"
        " -> list[int]: return [a, b]\n"
    )
    names = program.run()
    service = names["service"]
    async with service.test() as client:
        with service.override(names["limit"], lambda: 7):
            assert await client.call("x", returns=list[int]) == [7, 5]
        assert await client.call("x", returns=list[int]) == [5, 5]


async def test_the_contract_has_the_names_of_the_body() -> None:
    (program,) = programs(
        '\n#: -\n@handler("x")\n'
        "async def f(a: int, b: int = Field(default=1, description='what b is', alias='B'))"
        " -> int: return b\n"
    )
    schema = program.run()["natsrpc"].codecs.get("json")
    (endpoint,) = program.run()["service"].contract.endpoints
    found = schema.schema(endpoint.request_type)
    assert found["required"] == ["a"]
    assert found["properties"]["B"]["description"] == "what b is"


async def test_a_proxy_sends_the_names_of_the_body() -> None:
    (program,) = programs(
        "\n#: -\nclass Api(Protocol):\n"
        "    async def f(self, n: int, from_: int = Field(default=7, alias='from')) -> int: ...\n"
        "    async def g(self, n: list[int] = Field(default_factory=list)) -> list[int]: ...\n"
        "@handler('f')\n"
        "async def f(n: int, from_: int = Field(default=7, alias='from')) -> int: return from_\n"
        "@handler('g')\n"
        "async def g(n: list[int] = Field(default_factory=lambda: [9])) -> list[int]: return n\n"
    )
    names = program.run()
    async with names["service"].test() as client:
        api = client.bind(names["Api"])
        assert await api.f(1, 5) == 5
        assert await api.f(1) == 7
        assert await api.f(n=1, from_=9) == 9
        assert await api.g() == []
        assert await api.g([1]) == [1]
