"""The tables of `[[detectors]]`, one model for each type. docs/reference.md is made from them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, field_validator, model_validator

from service.core.detectors import DAY_MS, Direction, Of
from service.core.detectors.features import FEATURES
from service.settings.fields import DetectorName, Group, Limit, RefusedError, SomeMilliseconds

REST: Final = "*"
"""The key of ``limits`` that every id matches: a prefix without a letter."""

Sigmas = Annotated[float, Field(ge=0, le=10**6, allow_inf_nan=False)]


class DetectorSettings(Group):
    """What every detector has."""

    name: DetectorName = Field(description="the alert's `detector` and the metrics' label. Unique")
    type: str = Field(description="the kind of detector: one of those below, or one that a package brings")
    of: Of = Field(Of.SUM, description="what of a key's window the detector looks at")
    mode: Literal["active", "shadow"] = Field(
        "active",
        description="`shadow`: judged and counted in the same txn, but its alerts go to `TOPICS_SHADOW` and never to "
        "`TOPICS_ALERTS`",
    )
    resolve_after: Annotated[int, Field(ge=0, le=10**6)] = Field(
        0,
        description="0: an alert for each anomalous window. Otherwise anomalies are reported as episodes, which end "
        "after this many windows of the key in a row without an anomaly",
    )
    resolve_after_ms: SomeMilliseconds = Field(
        DAY_MS, description="an episode ends this long after its last anomalous window, by the watermark"
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_switches(cls, value: object) -> object:
        # pydantic would read true as 1.
        if isinstance(value, bool):
            raise ValueError("input should not be true or false")  # noqa: TRY004 - pydantic takes no TypeError
        return value


class ThresholdSettings(DetectorSettings):
    """`of` is strictly beyond a limit."""

    type: Literal["threshold"]
    limit: Limit | None = Field(None, description="the limit; compared exactly")
    limits: dict[str, Limit] = Field(
        default_factory=dict,
        description="limits by id, or by prefix with `*` at its end. An id has the limit of its exact name, else of "
        "its longest prefix, else `limit`",
    )
    direction: Literal["above", "below"] = Field("above", description="on which side of the limit an anomaly is")

    @field_validator("limits")
    @classmethod
    def _each_has_an_id(cls, limits: dict[str, Any]) -> dict[str, Any]:
        if "" in limits:
            raise ValueError("an id is empty; the limit of all others is limit")
        return limits

    @model_validator(mode="after")
    def _has_a_limit(self) -> ThresholdSettings:
        if self.limit is None and REST not in self.limits:
            raise ValueError(f'limit: is required, unless limits has "{REST}"')
        return self


class DeviationSettings(DetectorSettings):
    """`of` is far from the key's own mean."""

    type: Literal["deviation"]
    sigmas: Sigmas = Field(3.0, gt=0, description="how many deviations from the mean a value may be")
    direction: Direction = Field(Direction.ABOVE, description="on which side of the mean an anomaly is")
    min_windows: Annotated[int, Field(ge=2, le=10**9)] = Field(
        30, description="the detector judges a key once it has seen this many of its windows"
    )
    half_life: Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)] = Field(
        0.0, description="after this many windows a window weighs half. 0: all weigh the same"
    )
    clip_sigmas: Sigmas = Field(
        0.0,
        description="a value goes into the baseline as at most this many deviations from the mean, so that an attack "
        "does not teach the baseline. 0: off",
    )


class InactivitySettings(DetectorSettings):
    """A key, a partition or the topic had nothing for a time. Reported once, until something comes again."""

    type: Literal["inactivity"]
    after_ms: SomeMilliseconds = Field(description="how long the silence must last")
    scope: Literal["key", "partition", "topic"] = Field("key", description="what is silent")
    clock: Literal["event", "wall"] = Field(
        default_factory=lambda data: "event" if data.get("scope") == "key" else "wall",
        description="the clock that measures the silence. `partition` and `topic` have `wall` only",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> InactivitySettings:
        if self.scope != "key" and self.clock == "event":
            raise ValueError(f"clock: scope {self.scope} has wall only; event is for scope key")
        if self.of is not Of.SUM:
            raise ValueError("of: inactivity looks at no value; leave it out")
        if self.resolve_after:
            raise ValueError("resolve_after: inactivity has no episodes: it is reported once, until something comes")
        return self


class ModelSettings(DetectorSettings):
    """The output of an ONNX model is above a limit."""

    type: Literal["model"]
    file: Annotated[str, Field(min_length=1)] = Field(description="the ONNX model's file")
    features: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="what the model takes, in its order: " + ", ".join(f"`{one}`" for one in FEATURES)
    )
    limit: Annotated[float, Field(allow_inf_nan=False)] = Field(description="an output greater than this is an anomaly")

    @field_validator("features")
    @classmethod
    def _there_are_such(cls, features: tuple[str, ...]) -> tuple[str, ...]:
        for at, name in enumerate(features):
            if name not in FEATURES:
                raise RefusedError(name, f"is no feature; the features are {', '.join(FEATURES)}")
            if name in features[:at]:
                raise RefusedError(name, "is there twice")
        return features


class ForeignSettings(DetectorSettings):
    """A detector that a package brings by an entry point."""

    fields: dict[str, Any]
    """The fields of its own, as they are in the table. A number with a point is a Decimal."""

    COMMON: ClassVar = frozenset(DetectorSettings.model_fields)


TYPES: Final[dict[str, type[DetectorSettings]]] = {
    "threshold": ThresholdSettings,
    "deviation": DeviationSettings,
    "inactivity": InactivitySettings,
    "model": ModelSettings,
}
"""The types that txwatch has itself."""
