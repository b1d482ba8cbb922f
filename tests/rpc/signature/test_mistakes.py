"""Definitions that mean nothing, or not what their author meant, are refused where they are.

Each program of the table is refused when it runs. The message has the words of its first line: the
function, the parameter, what is wrong and how to write it; and it has the file and the line.
"""

from __future__ import annotations

import traceback

import pytest

from natsrpc.errors import BadSubjectError, ConfigError

from .programs import Program, programs

MISTAKES = """
#: no annotation | parameter 'a' of handler 'f' has no annotation | 'a: int'
@handler("x")
async def f(a) -> int: ...
#: an alias that is a token's name | parameter 'who' of handler 'f' has the alias | Token('user')
@handler("users.{user}.pay")
async def f(amount: int, who: str = Field(alias="user")) -> int: ...
#: no annotation of what is ours | parameter 'client' of handler 'f' | 'client: natsrpc.Client'
@handler("x")
async def f(client) -> int: ...
#: no annotation of the result | the result of handler 'f' has no annotation | '-> None' is an empty
@handler("x")
async def f(a: int): ...
#: no annotation of a stream | the result of handler 'f' | '-> AsyncIterator[int]'
@handler("x")
async def f(a: int): yield a
#: no brackets | not the function 'f' | @service.handler() with brackets
@service.handler
async def f(a: int) -> int: ...
#: a plain generator | handler 'f' is a plain generator | `async def` with `yield`
@handler("x")
def f(a: int) -> Iterator[int]: yield a
#: a stream annotated as one value | handler 'f' yields | AsyncIterator[...]
@handler("x")
async def f(a: int) -> int: yield a
#: a stream that is returned | handler 'f' | returns one instead of yielding
@handler("x")
async def f(a: int) -> AsyncIterator[int]: return g()
#: a stream that a decorator returns | handler 'f' | returns one instead of yielding
def decorated(function):
    @functools.wraps(function)
    async def inner(*a, **k): return function(*a, **k)
    return inner
@handler("x")
@decorated
async def f(a: int) -> AsyncIterator[int]: yield a
#: a plain iterator as the result | the result of handler 'f' is a plain iterator
@handler("x")
def f(a: int) -> Iterator[int]: return iter([a])
#: a plain iterator as a parameter | 'a' of handler 'f' is a plain iterator | list[...]
@handler("x")
async def f(a: Iterator[int]) -> int: ...
#: perhaps a stream | 'a' of handler 'f' has a stream inside another type | plain AsyncIterator[...]
@handler("x")
async def f(a: AsyncIterator[int] | None) -> int: ...
#: perhaps a stream as the result | the result of handler 'f' has a stream inside
@handler("x")
async def f(a: int) -> AsyncIterator[int] | None: ...
#: two streams | 'b' of handler 'f' is a second request stream
@handler("x")
async def f(a: AsyncIterator[int], b: AsyncIterator[int]) -> int: ...
#: a method in its class | 'self' of 'Desk.f' | Desk().f | service.register(Desk())
class Desk:
    @handler("x")
    async def f(self, a: int) -> int: ...
#: a method in its class, annotated | 'self' of 'Desk.f' | service.register(Desk())
class Desk:
    @handler("x")
    async def f(self: "Desk", a: int) -> int: ...
#: a method with another word for self | 'this' of handler 'Desk.f' | service.register(Desk())
class Desk:
    @handler("x")
    async def f(this, a: int) -> int: ...
#: a class method in its class | <classmethod | service.register(instance)
class Desk:
    @handler("x")
    @classmethod
    async def f(cls, a: int) -> int: ...
#: a method of a class as a dependency | 'self' of 'Desk.f' | Desk().f
class Desk:
    def f(self) -> int: ...
@handler("x")
async def g(a: Annotated[int, Depends(Desk.f)]) -> int: ...
#: a class | 'Desk' is a class | service.register(Desk())
@handler("x")
class Desk: ...
#: a call instead of a function | not <coroutine | without calling it
async def f() -> int: ...
coroutine = f()
try:
    handler("x")(coroutine)
finally:
    coroutine.close()
#: no function | not 'f' | a function, a method, or an object with __call__
handler("x")("f")
#: a function of Python's own | 'obj' of handler 'len' | a function of your own
handler("x")(len)
#: a lambda | parameter 'a' of handler '<lambda>' has no annotation
handler("x")(lambda a: a)
#: a context manager | handler 'f' is a context manager | Depends
@handler("x")
@contextlib.asynccontextmanager
async def f(a: int) -> AsyncIterator[int]: yield a
#: functions by the class of their argument | handler 'f' | singledispatch | union
@handler("x")
@functools.singledispatch
def f(a: int) -> int: ...
#: any number of arguments | parameter 'args' of 'f' | name each of them
@handler("x")
async def f(*args: int) -> int: ...
#: any names | parameter 'kw' of 'f' | name each of them
@handler("x")
async def f(**kw: int) -> int: ...
#: a decorator that loses the signature | parameter 'a' of 'inner' | functools.wraps
def decorated(function):
    async def inner(*a, **k): return await function(*a, **k)
    return inner
@handler("x")
@decorated
async def f(a: int) -> int: ...
#: a decorator that gives an argument itself | a decorator of 'f' | 'db' | __signature__
def decorated(function):
    @functools.wraps(function)
    async def inner(a): return await function(a, db=1)
    return inner
@handler("x")
@decorated
async def f(a: int, db: int) -> int: ...
#: a decorator that wants an argument of its own | a decorator of 'f' | 'tenant' | __signature__
def decorated(function):
    @functools.wraps(function)
    async def inner(*a, tenant, **k): return await function(*a, **k)
    return inner
@handler("x")
@decorated
async def f(a: int) -> int: ...
#: a name that is nowhere | parameter 'a' of 'f' | 'Nope' is not defined | TYPE_CHECKING
@handler("x")
async def f(a: "Nope") -> int: ...
#: a name for type checkers alone | parameter 'a' of 'f' | 'Fraction' is not defined | TYPE_CHECKING
if TYPE_CHECKING:
    from fractions import Fraction
@handler("x")
async def f(a: "list[Fraction]") -> int: ...
#: an unknown type | parameter 'b' of handler 'f' | codec 'json' | Thing | BaseModel
@handler("x")
async def f(a: int, b: Thing) -> int: ...
#: an unknown type alone | parameter 'a' of handler 'f' | codec 'json' | Thing
@handler("x")
async def f(a: Thing) -> int: ...
#: an unknown result | the result of handler 'f' | codec 'json' | Thing
@handler("x")
async def f(a: int) -> Thing: ...
#: a stream of an unknown type | parameter 'a' of handler 'f' | codec 'json' | Thing
@handler("x")
async def f(a: AsyncIterator[Thing]) -> int: ...
#: keys that are tuples | 'a' of handler 'f' | JSON has no keys of kind 'tuple' | list of pairs
@handler("x")
async def f(a: dict[tuple[int, int], str]) -> int: ...
#: keys that are tuples, in a model | 'm' of handler 'f' | JSON has no keys of kind 'tuple'
class Map(BaseModel):
    places: dict[tuple[int, int], str]
@handler("x")
async def f(a: int, m: Map) -> int: ...
#: keys that are tuples, as the result | result of handler 'f' | MessagePack has no keys of kind
@Service("shop", version="1.0.0", codec="msgpack").handler("x")
async def f(a: int) -> dict[tuple[int, int], str]: ...
#: keys that are numbers alone | parameter 'a' of handler 'f' | JSON has no keys of kind 'literal'
@handler("x")
async def f(a: dict[Literal[1, 2], str]) -> int: ...
#: keys that are counted | 'a' of handler 'f' | JSON has no keys of kind 'tuple'
import collections
@handler("x")
async def f(a: collections.Counter[tuple[int, int]]) -> int: ...
#: a function in a message | 'a' of handler 'f' | no message carries code
@handler("x")
async def f(a: Callable[[int], int]) -> int: ...
#: keys that may be None | parameter 'a' of handler 'f' | JSON has no keys of kind 'nullable'
@handler("x")
async def f(a: dict[str | None, str]) -> int: ...
#: several values in text | the body of handler 'f' | codec 'text' | use the 'json' codec
@Service("shop", version="1.0.0", codec="text").handler("x")
async def f(a: int, b: int) -> int: ...
#: a list for a type | 'a' of 'f' is annotated with [<class 'int'>], which is no type | list[int]
@handler("x")
async def f(a: [int]) -> int: ...
#: a function for a type | 'a' of 'f' is annotated with <built-in function any> | Any
@handler("x")
async def f(a: any) -> int: ...
#: a module for a type | the result of 'f' is annotated with <module 'datetime' | no type
@handler("x")
async def f(a: int) -> datetime: ...
#: raw bytes and more | 'a' of handler 'f' | bytes is the raw payload | Annotated[bytes, Embed]
@handler("x")
async def f(a: bytes, b: int) -> int: ...
#: perhaps raw bytes, and more | 'a' of handler 'f' | bytes is the raw payload | Embed
@handler("x")
async def f(a: bytes | None, b: int) -> int: ...
#: a default of another type | 'a' of handler 'f' has the default 'x', which is no int
@handler("x")
async def f(a: int = "x", b: int = 1) -> int: ...
#: a default of None | 'b' of handler 'f' has the default None | `int | None`
@handler("x")
async def f(a: int, b: int = None) -> int: ...
#: a default that means required | 'b' of handler 'f' | default Ellipsis | leave the default out
@handler("x")
async def f(a: int, b: int = ...) -> int: ...
#: a default of the wrong items | 'b' of handler 'f' has the default ['x'] | list[int]
@handler("x")
async def f(a: int, b: list[int] = ["x"]) -> int: ...
#: a dict for a model | 'a' of handler 'f' has the default {'sku': 'x'}, which is no Item
@handler("x")
async def f(a: Item = {"sku": "x"}) -> int: ...
#: a default that is no choice | 'b' of handler 'f' has the default 'c' | Literal['a', 'b']
@handler("x")
async def f(a: int, b: Literal["a", "b"] = "c") -> int: ...
#: the value of an enum for its member | 'b' of handler 'f' has the default 'red', which is no Color
class Color(enum.Enum):
    RED = "red"
@handler("x")
async def f(a: int, b: Color = "red") -> int: ...
#: a secret as text | 'b' of handler 'f' has the default 'x', which is no SecretStr
@handler("x")
async def f(a: int, b: SecretStr = "x") -> int: ...
#: a default that is not called | 'b' of handler 'f' has the default <built-in method now
@handler("x")
async def f(a: int, b: datetime.datetime = datetime.datetime.now) -> int: ...
#: a default that its validator would change | 'b' of handler 'f' has the default 'a b'
@handler("x")
async def f(a: int, b: Annotated[list[str], BeforeValidator(str.split)] = "a b") -> int: ...
#: a default that validate_default refuses | 'b' of handler 'f' | default 0 is not valid
@handler("x")
async def f(a: int, b: int = Field(default=0, ge=1, validate_default=True)) -> int: ...
#: a default that cannot be copied | 'b' of handler 'f' | cannot be copied | default_factory
import threading
@handler("x")
async def f(a: int, b: Any = threading.Event()) -> int: ...
#: bytes or a number from a header | 'b' of handler 'f' cannot be read from text
@handler("x")
async def f(b: Annotated[bytes | int, Header("A")]) -> int: ...
#: a signature that its function does not take | a decorator of 'f' | 'tenant' | __signature__
import inspect
async def f(n: int) -> int: ...
extra = inspect.Parameter("tenant", inspect.Parameter.KEYWORD_ONLY, annotation=str)
own = inspect.signature(f)
f.__signature__ = own.replace(parameters=[*own.parameters.values(), extra])
handler("x")(f)
#: an alias of the whole body | 'a' of handler 'f' has the alias 'b' | Embed
@handler("x")
async def f(a: int = Field(alias="b")) -> int: ...
#: an alias of a header | 'a' of handler 'f' has the alias 'b' | no field of the body
@handler("x")
async def f(a: Annotated[int, Header("A"), Field(alias="b")]) -> int: ...
#: two fields of one name | 'b' of handler 'f' is read from the field 'a' | parameter 'a'
@handler("x")
async def f(a: int, b: int = Field(alias="a")) -> int: ...
#: a path as an alias | 'b' of handler 'f' | AliasPath | AliasChoices of names
@handler("x")
async def f(a: int, b: int = Field(validation_alias=AliasPath("x", 1))) -> int: ...
#: an alias for writing | 'b' of handler 'f' | serialization_alias | Field(alias=...)
@handler("x")
async def f(a: int, b: int = Field(serialization_alias="x")) -> int: ...
#: a field that is left out | 'b' of handler 'f' | Field(exclude=...)
@handler("x")
async def f(a: int, b: int = Field(exclude=True)) -> int: ...
#: a default made of other fields, alone | 'a' of handler 'f' | default_factory without a parameter
@handler("x")
async def f(a: int = Field(default_factory=lambda data: 1)) -> int: ...
#: a field as a dependency's default | 'a' of dependency 'g' has a Field(...) | plain default
def g(a: int = Field(default=3)) -> int: ...
@handler("x")
async def f(b: Annotated[int, Depends(g)]) -> int: ...
#: a dependency that reads the body | 'a' of dependency 'g' | dependencies never read
def g(a: int) -> int: ...
@handler("x")
async def f(b: Annotated[int, Depends(g)]) -> int: ...
#: a dependency with a field | 'a' of dependency 'g' is marked Embed | in the handler
def g(a: Annotated[int, Embed]) -> int: ...
@handler("x")
async def f(b: Annotated[int, Depends(g)]) -> int: ...
#: a dependency by position | 'c' of dependency 'g' is positional only | remove the '/'
def g(c: Context, /) -> int: ...
@handler("x")
async def f(b: Annotated[int, Depends(g)]) -> int: ...
#: a dependency with a default | 'b' of handler 'f' has the default 5 | remove the default
@handler("x")
async def f(b: Annotated[int, Depends(one)] = 5) -> int: ...
#: a dependency that nobody can read | 'dict' has no signature | a function of your own
@handler("x")
async def f(b: Annotated[dict, Depends(dict)]) -> int: ...
#: no function to depend on | Depends(function)
@handler("x")
async def f(b: Annotated[int, Depends()]) -> int: ...
#: a dependency that is called | not 1 | Depends(open_db)
@handler("x")
async def f(b: Annotated[int, Depends(one())]) -> int: ...
#: another framework's option | 'use_cache' | Depends(function)
@handler("x")
async def f(b: Annotated[int, Depends(one, use_cache=False)]) -> int: ...
#: an unknown scope | 'session' | expected 'request' or 'app'
@handler("x")
async def f(b: Annotated[int, Depends(one, scope="session")]) -> int: ...
#: Depends without brackets | 'b' of 'f' names Depends | Depends(...)
@handler("x")
async def f(b: Annotated[int, Depends]) -> int: ...
#: Header without brackets | 'b' of 'f' names Header | Header(...)
@handler("x")
async def f(b: Annotated[str, Header]) -> int: ...
#: a header without a name | 'name' | Header("X-Tenant")
@handler("x")
async def f(b: Annotated[str, Header()]) -> int: ...
#: a header that is none | 'X Tenant' | no blank
@handler("x")
async def f(b: Annotated[str, Header("X Tenant")]) -> int: ...
#: Embed with brackets | Annotated[T, Embed]
@handler("x")
async def f(b: Annotated[str, Embed()]) -> int: ...
#: two markers | 'b' of 'f' is marked Header('A') and Token('b') | expected one
@handler("x.{b}", name="x")
async def f(b: Annotated[str, Header("A")] = Token("b")) -> int: ...
#: two markers, nested | 'b' of 'f' is marked Depends(one) and Header('A')
@handler("x")
async def f(b: Annotated[Annotated[int, Depends(one)], Header("A")]) -> int: ...
#: a marker in a list | 'b' of 'f' has Depends(one) inside its type | outermost
@handler("x")
async def f(b: list[Annotated[int, Depends(one)]]) -> int: ...
#: a marker that is optional | 'b' of 'f' has Header('A') inside its type | outermost
@handler("x")
async def f(b: Annotated[str, Header("A")] | None = None) -> int: ...
#: a marker behind an alias in a list | 'b' of 'f' has Depends(one) inside its type
One = te.TypeAliasType("One", Annotated[int, Depends(one)])
@handler("x")
async def f(b: list[One]) -> int: ...
#: a marker given to an alias | 'b' of 'f' has Depends(one) inside its type
T = TypeVar("T")
Many = te.TypeAliasType("Many", list[T], type_params=(T,))
@handler("x")
async def f(b: Many[Annotated[int, Depends(one)]]) -> int: ...
#: a marker in a stream | 'b' of 'f' has Depends(one) inside its type
@handler("x")
async def f(b: AsyncIterator[Annotated[int, Depends(one)]]) -> int: ...
#: a marker on the result | the result of 'f' is marked Depends(one) | remove it
@handler("x")
async def f(b: int) -> Annotated[int, Depends(one)]: ...
#: a marker in a model | Depends(one) | handler's own parameter
class Model(BaseModel):
    user: Annotated[int, Depends(one)]
#: a marker as the default of a model's field | 'b' of 'f' | field 'user' of Model | Header('A')
class Model(BaseModel):
    user: str = Header("A")
@handler("x")
async def f(b: Model) -> int: ...
#: a marker in a dataclass | 'b' of 'f' has Depends(one) inside its type
@dataclasses.dataclass
class Model:
    user: Annotated[int, Depends(one)]
@handler("x")
async def f(b: list[Model]) -> int: ...
#: a marker in a dict with fields | 'b' of 'f' has Depends(one) inside its type
class Model(TypedDict):
    user: Annotated[int, Depends(one)]
@handler("x")
async def f(b: Model) -> int: ...
#: a header with two defaults | 'b' of handler 'f' has two defaults | remove one
@handler("x")
async def f(b: Annotated[str, Header("A", "x")] = "y") -> int: ...
#: a header with a wrong default | 'b' of handler 'f' has the default 'x', which is no int
@handler("x")
async def f(b: Annotated[int, Header("A", "x")]) -> int: ...
#: a header that is a model | 'b' of handler 'f' cannot be read from text | Item
@handler("x")
async def f(b: Annotated[Item, Header("A")]) -> int: ...
#: headers that are models | 'b' of handler 'f' cannot be read from text | Item
@handler("x")
async def f(b: Annotated[list[Item], Header("A")]) -> int: ...
#: a header that is no text ever | 'b' of handler 'f' cannot be read from text
@handler("x")
async def f(b: Annotated[Literal[1, 2], Header("A")]) -> int: ...
#: a header that is strictly a number | 'b' of handler 'f' cannot be read from text
@handler("x")
async def f(b: Annotated[int, Header("A"), Field(strict=True)]) -> int: ...
#: a token that is not there | 'b' of handler 'f' reads token 'user' | {user} in the subject
@handler("x")
async def f(a: int, b: Annotated[str, Token("user")]) -> int: ...
#: a token with a default | 'b' of handler 'f' has the default 'x' | remove the default
@handler("x.{b}", name="x")
async def f(b: Annotated[str, Token()] = "x") -> int: ...
#: a model with the name of a token | 'item' of handler 'f', which is the token {item} | text
@handler("x.{item}", name="x")
async def f(item: Item) -> int: ...
#: a stream with the name of a token | 'item' of handler 'f', which is the token {item}
@handler("x.{item}", name="x")
async def f(item: AsyncIterator[str]) -> int: ...
#: a context with a default | 'c' of handler 'f' is a Context | neither a marker nor a default
@handler("x")
async def f(a: int, c: Context = None) -> int: ...
#: perhaps a context | 'c' of handler 'f' mixes Context | plain Context
@handler("x")
async def f(a: int, c: Context | None = None) -> int: ...
#: a context of one's own | 'c' of handler 'f' mixes Context | plain Context
class Mine(Context): ...
@handler("x")
async def f(a: int, c: Mine) -> int: ...
#: several contexts | 'c' of handler 'f' mixes Context | plain Context
@handler("x")
async def f(a: int, c: list[Context]) -> int: ...
#: another framework's Depends | 'b' of 'f' has fastapi's Depends | import Depends from natsrpc
@handler("x")
async def f(a: int, b: Annotated[int, foreign("Depends")()]) -> int: ...
#: another framework's Depends as a default | 'b' of 'f' has fastapi's Depends | from natsrpc
@handler("x")
async def f(a: int, b: int = foreign("Depends")()) -> int: ...
#: another framework's Query | 'b' of 'f' has fastapi's Query | a plain parameter is a field
@handler("x")
async def f(a: int, b: int = foreign("Query")()) -> int: ...
#: another framework's Request | 'r' of 'f' has fastapi's Request | natsrpc.Context
@handler("x")
async def f(a: int, r: foreign("Request")) -> int: ...
#: another framework's Response | the result of 'f' has fastapi's Response | reply_headers
@handler("x")
async def f(a: int) -> foreign("Response") | None: ...
#: another framework's tasks | 't' of 'f' has fastapi's BackgroundTasks | after_reply
@handler("x")
async def f(a: int, t: foreign("BackgroundTasks")) -> int: ...
#: an alias of nothing | 'a' of 'f' | alias 'Nope' | 'nope' is not defined
type Nope = nope
@handler("x")
async def f(a: Nope) -> int: ...
#: an alias of itself | 'a' of 'f' | Nope stands for itself
type Nope = Nope
@handler("x")
async def f(a: Nope) -> int: ...
#: a marker in an alias that contains itself | 'a' of 'f' has Depends(one) inside its type
type Tree = Annotated[list[Tree], Depends(one)]
@handler("x")
async def f(a: Tree) -> int: ...
#: an alias of a text | 'a' of 'f' | alias 'Text' | expected a type
Text = te.TypeAliasType("Text", "int")
@handler("x")
async def f(a: Text) -> int: ...
#: a bad subject | bad subject 'x y'
@handler("x y")
async def f(a: int) -> int: ...
#: a bad name | bad endpoint name 'a.b'
@handler("x", name="a.b")
async def f(a: int) -> int: ...
#: errors that are none | handler 'f' | ValueError
@handler("x", errors=(ValueError,))
async def f(a: int) -> int: ...
"""


@pytest.mark.parametrize("program", programs(MISTAKES), ids=Program.name)
def test_a_mistake_is_refused_with_its_cure_and_its_place(program: Program) -> None:
    with pytest.raises((ConfigError, BadSubjectError)) as caught:
        program.run()
    message = str(caught.value)
    for said in program.said:
        assert said in message
    lines = [each.lineno for each in traceback.extract_tb(caught.tb) if each.filename == "shop.py"]
    assert lines, "the traceback does not lead to the program"
    has_function = any(word in message for word in ("of handler", "of 'f'", "handler 'f'"))
    if has_function and "'len'" not in message:
        assert "(shop.py:" in message


def test_the_place_is_the_line_of_the_definition() -> None:
    (program,) = programs('\n#: -\n\n\n@handler("x")\nasync def f(a) -> int: ...\n')
    with pytest.raises(ConfigError, match=r"\(shop\.py:3\)$"):
        program.run()


def test_both_places_are_told_of_a_dependency() -> None:
    (program,) = programs(
        "\n#: -\ndef g(a: int) -> int: ...\n\n\n"
        '@handler("x")\nasync def f(b: Annotated[int, Depends(g)]) -> int: ...\n'
    )
    with pytest.raises(ConfigError, match=r"\(shop\.py:1\) \(shop\.py:4\)$"):
        program.run()
