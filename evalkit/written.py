"""What all that evalkit writes as JSON has in common: a thing is defined once, and that is its file's schema, too.

What is nothing but a part of a file is a :class:`Written` model. What is worked with, and written as well, is a
dataclass by :func:`written`: a field that the file does not have is :data:`Unwritten`, and one that the file calls
otherwise has an alias.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Annotated, Any, TypeVar, cast, dataclass_transform

from pydantic import BaseModel, ConfigDict, Field, GetPydanticSchema, TypeAdapter
from pydantic.dataclasses import dataclass

T = TypeVar("T")
Proportion = Annotated[float, Field(ge=0, le=1)]
"""A number in [0, 1]: Precision@1 and whatever else is percent in a view alone."""
Unwritten = Annotated[T, Field(exclude=True), GetPydanticSchema(lambda _type, handler: handler(Any))]
"""A field that the file does not have. It is taken as it is, so it may be of a type that JSON has no word for."""

_COMMON = ConfigDict(
    extra="forbid",
    allow_inf_nan=False,
    use_attribute_docstrings=True,
    json_schema_serialization_defaults_required=True,
)


class Written(BaseModel):
    """A part of a JSON file that evalkit writes: frozen, no field but its own, no NaN, every field in its schema."""

    model_config = ConfigDict(**_COMMON, frozen=True)


@dataclass_transform(frozen_default=True, field_specifiers=(field, Field))
def written(*, kw_only: bool = False, title: str | None = None) -> Callable[[type[T]], type[T]]:
    """Make a dataclass of the same kind: its fields are checked when one is made, and its docstrings are the schema's.

    Args:
        kw_only: as :func:`dataclasses.dataclass`; then a field with a default may stand before others.
        title: in the schema; ``None`` for the name of the class.
    """
    config = ConfigDict(**_COMMON, populate_by_name=True, json_schema_extra=_without_defaults, title=title)
    return cast("Callable[[type[T]], type[T]]", dataclass(frozen=True, kw_only=kw_only, config=config))


def schema_of(whole: type[Any]) -> dict[str, Any]:
    """JSON Schema of a file.

    Args:
        whole: a model or a dataclass of this module.
    """
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return head | TypeAdapter(whole).json_schema(mode="serialization")


def _without_defaults(schema: dict[str, Any]) -> None:
    """A default is for who makes one in Python: a file has every field."""
    for one in schema["properties"].values():
        if "const" not in one:
            one.pop("default", None)
