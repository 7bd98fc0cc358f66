"""The types that settings are made of, and the errors of wrong ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from service.wire.names import fault_of_host, fault_of_name, fault_of_text, fault_of_topic

LONGEST_SHOWN: Final = 100
"""Characters of a refused value that an error line shows; a longer value is not shown."""
_DETECTOR: Final = re.compile(r"[a-z0-9-]{1,40}")


class SettingsError(Exception):
    """The settings cannot be used; the text is one line and names the setting."""


class RefusedError(ValueError):
    """A setting refuses a value. ``fault`` says why and does not show the value, which may be a secret from a file."""

    def __init__(self, value: str, fault: str) -> None:
        """``fault`` continues a sentence that begins with the value: "is blank"."""
        super().__init__(f"{value!a} {fault}" if len(value) <= LONGEST_SHOWN else fault)
        self.fault: Final = fault


def _refusing(fault_of: Callable[[str], str | None]) -> AfterValidator:
    def check(name: str) -> str:
        if (fault := fault_of(name)) is not None:
            raise RefusedError(name, fault)
        return name

    return AfterValidator(check)


def _fault_of_detector(name: str) -> str | None:
    return None if _DETECTOR.fullmatch(name) else "is no detector's name: 1 to 40 of a-z 0-9 -"


Name = Annotated[str, _refusing(fault_of_name)]
DetectorName = Annotated[str, _refusing(_fault_of_detector)]
Host = Annotated[str, _refusing(fault_of_host)]
Servers = Annotated[str, _refusing(fault_of_text)]
TopicName = Annotated[str, _refusing(fault_of_topic)]
OptionalTopicName = Annotated[str, _refusing(lambda name: fault_of_topic(name) if name else None)]
Milliseconds = Annotated[int, Field(ge=0, le=10**15)]
SomeMilliseconds = Annotated[int, Field(ge=1, le=10**15)]
Limit = Annotated[Decimal, Field(allow_inf_nan=False, max_digits=40, decimal_places=20)]


def exact(number: str) -> Decimal:
    """A number as it is written. One whose exponent Decimal cannot hold becomes NaN, which every setting refuses."""
    try:
        return Decimal(number)
    except InvalidOperation:
        return Decimal("NaN")


class Group(BaseModel):
    """A group of settings: a table of the TOML file, the first word of environment variables."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        # pydantic would read true as 1, and a window of 1 ms is not what the user meant.
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation is int:
            raise ValueError("input should be a valid integer")
        return value
