"""pydantic's `Field(...)` taken apart, for a parameter. `described` calls it.

Its constraints become part of the type. What has no meaning for a parameter is refused.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from natsrpc.errors import ConfigError

from .fields import REQUIRED, Factory

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


def read_field(type_: Any, default: Any) -> tuple[Any, Any, tuple[str, ...]]:
    """Return a parameter's type with its constraints, its default, and its names in a body.

    Raises:
        ConfigError: the field says something that has no meaning for a parameter, or its default
            is not valid and `validate_default` asks for that.
    """
    if default is REQUIRED:
        field = FieldInfo.from_annotation(type_)
    else:
        field = FieldInfo.from_annotated_attribute(type_, default)
    for name in ("exclude", "exclude_if", "init_var"):
        if getattr(field, name):
            raise ConfigError(f"Field({name}=...) has no meaning here: a parameter is only read")
    if field.init is False:
        raise ConfigError("Field(init=False) has no meaning here: every parameter is passed")
    type_ = _type(field)
    return type_, _default(field, type_), _names(field)


def _type(field: FieldInfo) -> Any:
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
    validate = TypeAdapter(type_).validate_python
    if make is not None:
        return Factory(lambda *data: validate(make(*data)), takes_data)
    try:
        return validate(field.default)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise ConfigError(f"its default {field.default!r} is not valid: {reason}") from error


def _names(field: FieldInfo) -> tuple[str, ...]:
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
