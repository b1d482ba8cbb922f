"""What pydantic's `Field(...)` says of one parameter, read once: its type, default and names.

`Field` may stand as the parameter's default or among the metadata of its type. Its constraints
become part of the type. What has no meaning for a parameter is refused. pydantic is not imported
here: where it is not loaded yet, nobody can have written a `Field`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args, get_origin

from natsrpc.errors import ConfigError

from .fields import REQUIRED, Factory

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_SCHEMA = (
    "title",
    "description",
    "examples",
    "json_schema_extra",
    "deprecated",
    "discriminator",
    "field_title_generator",
)
"""What a field says that stays with its type."""

_MEANINGLESS = {
    "exclude": "a parameter is only read",
    "exclude_if": "a parameter is only read",
    "init": "every parameter is passed",
    "init_var": "every parameter is passed",
}


class Described(NamedTuple):
    """A parameter's type with its constraints, its default, and its names in a body.

    `default` is a value, a `Factory` or REQUIRED. `names` is empty for a parameter that is read by
    its own name.
    """

    type: Any
    default: Any
    names: tuple[str, ...] = ()


def described(type_: Any, default: Any = REQUIRED) -> Described:
    """Read a parameter's type and default, either of which may hold a pydantic `Field(...)`.

    Raises:
        ConfigError: the field says something that has no meaning for a parameter, or its default
            is not valid and `validate_default` asks for that.
    """
    pydantic = sys.modules.get("pydantic.fields")
    if pydantic is None:
        return Described(type_, default)
    metadata = get_args(type_)[1:] if get_origin(type_) is Annotated else ()
    found = [each for each in (*metadata, default) if isinstance(each, pydantic.FieldInfo)]
    for each in found:
        if type(each) is not pydantic.FieldInfo:
            raise ConfigError(
                f"{type(each).__module__.partition('.')[0]}'s {type(each).__name__}(...) has no "
                "meaning here: write pydantic's Field(...), or a marker of natsrpc"
            )
    if not found:
        return Described(type_, default)
    if default is REQUIRED:
        return _read(pydantic.FieldInfo.from_annotation(type_))
    return _read(pydantic.FieldInfo.from_annotated_attribute(type_, default))


def _read(field: FieldInfo) -> Described:
    for name, why in _MEANINGLESS.items():
        if getattr(field, name, None) not in (None, False) or (name == "init" and _is_off(field)):
            raise ConfigError(f"Field({name}=...) has no meaning here: {why}")
    type_ = _type(field)
    return Described(type_, _default(field, type_), _names(field))


def _is_off(field: FieldInfo) -> bool:
    return field.init is False


def _type(field: FieldInfo) -> Any:
    from pydantic import Field  # noqa: PLC0415 — it is loaded: a field of it was found

    said = {name: value for name in _SCHEMA if (value := getattr(field, name)) is not None}
    metadata = [*field.metadata, *([Field(**said)] if said else [])]
    return Annotated[(field.annotation, *metadata)] if metadata else field.annotation


def _default(field: FieldInfo, type_: Any) -> Any:
    if field.is_required():
        return REQUIRED
    takes_data = bool(field.default_factory_takes_validated_data)
    make: Any = field.default_factory
    if not field.validate_default:
        return field.default if make is None else Factory(make, takes_data)
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 — it is loaded, as above

    validate = TypeAdapter(type_).validate_python
    if make is not None:
        return Factory(lambda *data: validate(make(*data)), takes_data)
    try:
        return validate(field.default)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise ConfigError(f"its default {field.default!r} is not valid: {reason}") from error


def _names(field: FieldInfo) -> tuple[str, ...]:
    from pydantic import AliasChoices  # noqa: PLC0415 — it is loaded, as above

    alias = field.validation_alias if field.validation_alias is not None else field.alias
    found = alias.choices if isinstance(alias, AliasChoices) else [] if alias is None else [alias]
    names = tuple(each for each in found if isinstance(each, str))
    if len(names) != len(found):
        raise ConfigError(
            "AliasPath reads a value from inside another, which a caller could not write: expected "
            "a name, or AliasChoices of names"
        )
    written = field.serialization_alias
    if written is not None and written not in names:
        raise ConfigError(
            f"Field(serialization_alias={written!r}) has no meaning here: a parameter is only "
            "read; its name in the body is Field(alias=...)"
        )
    return names
