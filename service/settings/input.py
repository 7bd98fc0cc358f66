"""The settings of the input: where its records have id, time and amount, in which form, and which records count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from service.settings.fields import Group, RefusedError
from service.wire.input.columns import TimestampFormat, amounts
from service.wire.input.paths import MappingError, parse_amount, parse_id, parse_timestamp
from service.wire.input.where import parse_where


def _parsed(parse: Callable[[str], Any]) -> AfterValidator:
    def check(text: str) -> str:
        try:
            parse(text)
        except MappingError as error:
            raise RefusedError(text, str(error)) from None
        return text

    return AfterValidator(check)


class InputSettings(Group):
    """The input's records. [input.md](input.md) has recipes."""

    format: Literal["json", "avro", "protobuf", "json-schema"] = Field(
        "json",
        description="the format of the records' values. All but `json` need `REGISTRY_URL`, and the extra `registry`",
    )
    transaction_id: Annotated[str, _parsed(parse_id)] = Field(
        "transaction_id",
        description="the id: a path (`card.id`; `a\\.b` is a dot in a name, `a[0]` an element), `@key` (the record's "
        "key), or several, joined by `+`. Their values are joined by `|`",
    )
    timestamp: Annotated[str, _parsed(parse_timestamp)] = Field(
        "timestamp", description="the event time: a path, or `@timestamp` (the record's own)"
    )
    timestamp_format: TimestampFormat = Field(
        TimestampFormat.EPOCH_MS,
        description="how the value at `INPUT_TIMESTAMP` is written. `iso8601` needs an offset; `epoch_s` may have a "
        "fraction. What is finer than a millisecond is cut off",
    )
    amount: Annotated[str, _parsed(parse_amount)] = Field(
        "amount", description="the amount: a path. Empty: 1 for each record, so that sums are counts"
    )
    amount_format: Annotated[str, _parsed(amounts)] = Field(
        "number",
        description='how the value at `INPUT_AMOUNT` is written: `number`, `text` (`"12.50"`), or `minor:N` (a whole '
        "number of 10⁻ᴺ: `minor:2` for cents)",
    )
    where: Annotated[str, _parsed(parse_where)] = Field(
        "",
        description="which records count: `path=value[,value…]`, several joined by `;`, all of which must match. "
        "Values are compared as text; `\\` escapes `,` `;` `=`. Other records are counted "
        "(`txwatch_records_filtered_total`) and only move the watermark",
    )
    tombstones: Literal["reject", "ignore"] = Field(
        "reject", description="a record without a value is rejected (`empty_value`), or ignored"
    )
