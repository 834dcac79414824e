"""What the sections of a recipe are made of: strict pydantic models, counts of images, errors between keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from swincli.units import COUNT_PATTERN, parse_count

INCONSISTENT = "inconsistent"  # type of the pydantic errors made by `inconsistent`


@dataclass(frozen=True)
class CountOfImages:
    """Annotation for an integer key that counts images, from `smallest` to `largest`; it can be written "25M"."""

    smallest: int = 0
    largest: int | None = None

    def parse(self, value: Any) -> int:
        """`value` as an integer. Raises ValueError if it is not a count, or is out of range."""
        count = parse_count(value)
        if count < self.smallest:
            raise ValueError(f"must be at least {self.smallest}, not {count}")
        if self.largest is not None and count > self.largest:
            raise ValueError(f"must be at most {self.largest:,}, not {count}")
        return count

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], CoreSchema]) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        number = {"type": "integer", "minimum": self.smallest}
        if self.largest is not None:
            number["maximum"] = self.largest
        return {"anyOf": [number, {"type": "string", "pattern": f"^{COUNT_PATTERN}$"}]}


ImageCount = Annotated[int, CountOfImages()]
PositiveImageCount = Annotated[int, CountOfImages(smallest=1)]
NonEmptyText = Annotated[str, Field(min_length=1)]


def numbers(length: int) -> BeforeValidator:
    """Validator that turns a list of `length` numbers into a tuple."""

    def to_tuple(value: Any) -> Any:
        if not isinstance(value, list | tuple) or len(value) != length:
            raise ValueError(f"must be a list of {length} numbers")
        return tuple(value)

    return BeforeValidator(to_tuple)


RgbTriple = Annotated[tuple[float, float, float], numbers(3)]


def inconsistent(key: str, message: str) -> PydanticCustomError:
    """An error between keys of a section, reported for one of them."""
    return PydanticCustomError(INCONSISTENT, "{message}", {"key": key, "message": message})


class Section(BaseModel):
    """Base of all sections: strict types, no unknown keys, finite numbers, immutable."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
