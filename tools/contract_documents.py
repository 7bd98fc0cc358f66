"""The JSON that commands and pages write, as types: what `schemas/` says of it.

The code writes these as plain dicts. tests/unit/test_contracts.py holds real ones against the schemas, which allow no
other field: so a field that is new, gone or renamed fails there.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from service.observe.status import PartitionStatus

Natural = Annotated[int, Meta(ge=0)]
Rate = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Status(Struct, forbid_unknown_fields=True):
    """What `GET /status` answers. Times are epoch milliseconds."""

    ready: bool
    reason: str | None
    throttled: str | None
    watermark: int | None
    open_episodes: dict[str, Natural]
    partitions: list[PartitionStatus]


class ReplaySummary(Struct, forbid_unknown_fields=True):
    """The last line on standard output of `txwatch-replay replay`."""

    read: Natural
    sent: Natural
    delivered: Natural
    skipped_empty: Natural
    rejected: Natural
    failed: Natural
    seconds: Rate
    rows_per_second: Rate
    max_schedule_lag_ms: Rate
    next_row: Natural
    earlier_rows: Natural
    first_event_time: int | None
    last_event_time: int | None
    last_line_unfinished: bool


class Record(Struct, forbid_unknown_fields=True):
    """One of the records behind an alert."""

    offset: Annotated[int, Meta(ge=0, description="its offset in the input partition")]
    timestamp: Annotated[int, Meta(description="its event time, epoch milliseconds")]
    amount: Annotated[str, Meta(description="its amount, exactly, as text")]
    late: Annotated[bool | None, Meta(description="whether it was late; null: the records that say so have expired")]


class Explanation(Struct, forbid_unknown_fields=True):
    """What `txwatch explain ALERT_ID --format json` prints."""

    alert_id: Annotated[str, Meta(description="the alert")]
    reproduced: Annotated[bool, Meta(description="whether sum, count and verdict come out the same")]
    records: Annotated[list[Record], Meta(description="the records of that id in that window, by offset")]
    sum: Annotated[
        str | None, Meta(description="their sum, exactly, as text; null without a record, and for a silence")
    ]
    count: Annotated[int, Meta(ge=0, description="how many they are")]
    verdict: Annotated[bool, Meta(description="whether the verdict is the same")]
    notes: Annotated[list[str], Meta(description="what was found, in words")]


class Window(Struct, forbid_unknown_fields=True):
    """A window, `start <= t < end`."""

    start: Annotated[int, Meta(description="epoch milliseconds, inclusive")]
    end: Annotated[int, Meta(description="epoch milliseconds, exclusive")]


class Difference(Struct, forbid_unknown_fields=True):
    """An alert that only one of two configurations gives."""

    transaction_id: Annotated[str, Meta(description="the id")]
    window: Annotated[Window, Meta(description="the window")]
    detector: Annotated[str, Meta(description="the detector that found it")]


class Span(Struct, forbid_unknown_fields=True, rename={"from_": "from"}):
    """What was read."""

    from_: int | None
    to: int | None
    days: Annotated[float, Meta(gt=0)]


class TopId(Struct, forbid_unknown_fields=True):
    """An id with many alerts."""

    transaction_id: str
    alerts: Annotated[int, Meta(ge=1)]


class Quality(Struct, forbid_unknown_fields=True, kw_only=True):
    """How good the alerts are; only with `--label`."""

    precision: Share | UnsetType | None = UNSET
    recall: Share | UnsetType | None = UNSET
    average_precision: Share | UnsetType | None = UNSET
    seconds_to_detection: float | UnsetType | None = UNSET
    ids_detected: Natural | UnsetType = UNSET


class Budget(Struct, forbid_unknown_fields=True):
    """The limit, or the sigmas, that keep to `--budget`; null where each would."""

    anomalies: Natural
    a_day: Rate
    limit: float | UnsetType | None = UNSET
    sigmas: float | UnsetType | None = UNSET


class Detector(Quality, forbid_unknown_fields=True, kw_only=True):
    """The figures of one detector."""

    alerts: Natural
    alerts_a_day: Rate
    mode: Literal["active", "shadow"]
    budget: Budget | UnsetType = UNSET


class Against(Quality, forbid_unknown_fields=True, kw_only=True):
    """The figures of the configuration of `--against`."""

    alerts: Natural
    alerts_a_day: Rate
    by_detector: dict[str, Natural]


class Backtest(Struct, forbid_unknown_fields=True, kw_only=True):
    """What `txwatch backtest --format json` prints. Times are epoch milliseconds."""

    records: Annotated[int, Meta(ge=0, description="records that were read")]
    windows: Annotated[int, Meta(ge=0, description="windows that closed, one for each id")]
    keys: Annotated[int, Meta(ge=0, description="different ids")]
    alerts: Annotated[int, Meta(ge=0, description="alerts of detectors that are not in shadow mode")]
    alerts_a_day: Annotated[float, Meta(ge=0, description="the same a day, on average over the span")]
    by_detector: Annotated[dict[str, Natural], Meta(description="alerts by detector, those in shadow mode included")]
    gained: Annotated[list[Difference] | None, Meta(description="alerts that `--against` has not; null without it")]
    lost: Annotated[list[Difference] | None, Meta(description="alerts that only `--against` has; null without it")]
    precision: Annotated[
        Share | None, Meta(description="bad windows among those with an alert; null without `--label`")
    ]
    recall: Annotated[
        Share | None, Meta(description="windows with an alert among the bad ones; null without `--label`")
    ]
    average_precision: Annotated[Share | None, Meta(description="null without `--label`, and for several detectors")]
    seconds_to_detection: Annotated[
        float | None, Meta(description="from an id's first bad record to its alert, the median; null without `--label`")
    ]
    span: Annotated[Span, Meta(description="what was read")]
    keys_estimated: Annotated[bool, Meta(description="whether there were too many ids to count each")]
    late: Annotated[int, Meta(ge=0, description="late records")]
    filtered: Annotated[int, Meta(ge=0, description="records that `INPUT_WHERE` leaves out")]
    rejected: Annotated[dict[str, Natural], Meta(description="rejected records, by reason")]
    unusable_rows: Annotated[dict[str, Natural], Meta(description="rows of a CSV that are no record, by what is wrong")]
    top_ids: Annotated[list[TopId], Meta(max_length=10, description="the ids with most alerts")]
    detectors: Annotated[dict[str, Detector], Meta(description="the figures of each detector")]
    notes: Annotated[list[str], Meta(description="what a reader must know to read the figures")]
    against: Annotated[Against | UnsetType, Meta(description="the other configuration; only with `--against`")] = UNSET
