"""The JSON Schema (2020-12) of a type, by pydantic. `PydanticCodec.schema` calls it.

Five things are said otherwise than by pydantic: a default that JSON cannot express is left out
without a warning; a field with a default is required in an encoded value, because it always is
there; an empty collection made by a factory is a default, too; a decimal has the format "decimal",
which tells it from other strings; bytes have the content encoding "base64".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import core_schema

from natsrpc.errors import ConfigTypeError

from .adapter import make_adapter
from .codec import Mode

_EMPTY: tuple[Callable[[], Any], ...] = (list, dict, set, frozenset, tuple)


def json_schema(type_: Any, mode: Mode) -> dict[str, Any] | None:
    """Return the JSON Schema of a type; None if the type, or a default in it, has none.

    Raises:
        ConfigTypeError: pydantic does not know the type at all.
    """
    try:
        return make_adapter(type_).json_schema(mode=mode, schema_generator=_Generate)
    except ConfigTypeError:  # it is a ValueError, too, and would end below
        raise
    except (PydanticUserError, ValueError):  # no JSON Schema of a callable, say, or of a default
        return None


class _Generate(GenerateJsonSchema):
    """pydantic's generator with the changes of this module's docstring."""

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Stay silent: a default that JSON cannot express is left out, which the schema shows."""

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        """Require a field with a default in an encoded value, where it always is."""
        if self.mode == "serialization" and field["type"] != "typed-dict-field":
            return not field.get("serialization_exclude_if")
        return super().field_is_required(field, total)

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        """Tell the default where a factory makes an empty collection, too."""
        factory = schema.get("default_factory")
        for empty in _EMPTY:
            if factory is empty:
                return empty()
        return super().get_default_value(schema)

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """Tell decimals from other strings."""
        found = super().decimal_schema(schema)
        text = found["anyOf"][1] if "anyOf" in found else found
        text["format"] = "decimal"
        return found

    def bytes_schema(self, schema: core_schema.BytesSchema) -> JsonSchemaValue:
        """Tell bytes from other strings."""
        return {"type": "string", "contentEncoding": "base64"}
