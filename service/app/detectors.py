"""Makes the detectors from the settings; what their aggregates must carry, and the short hash of the rules."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from service.app.package_detectors import made_by_package
from service.core.detectors import ConfiguredDetector, Direction, Of
from service.core.detectors.deviation import Deviation
from service.core.detectors.features import need_extremes
from service.core.detectors.inactivity import Inactivity
from service.core.detectors.model import Model
from service.core.detectors.threshold import Threshold
from service.core.memory import partition as memory
from service.core.model import AggregateDetail
from service.settings import Settings, SettingsError
from service.settings.detectors import (
    DetectorSettings,
    DeviationSettings,
    ForeignSettings,
    InactivitySettings,
    ModelSettings,
    ThresholdSettings,
)

HASH_DIGITS: Final = 8
_EXTREMES: Final = frozenset({Of.MAX, Of.MIN})


def configured(settings: Settings) -> tuple[ConfiguredDetector, ...]:
    """The detectors in force, in their order; without `[[detectors]]` the one of DETECT_LIMIT.

    Raises:
        SettingsError: a model or a package's detector cannot be used; the text names the detector.
    """
    if not settings.detectors:
        return (ConfiguredDetector("threshold", Threshold(settings.detect.limit)),)
    return tuple(
        ConfiguredDetector(
            one.name,
            _made(one),
            of=one.of,
            direction=_direction(one),
            shadow=one.mode == "shadow",
            resolve_after=one.resolve_after,
            resolve_after_ms=one.resolve_after_ms,
        )
        for one in settings.detectors
    )


def detail_for(detectors: Iterable[ConfiguredDetector]) -> AggregateDetail:
    """What an aggregate must carry for these detectors."""
    detectors = tuple(detectors)
    models = [one.detector for one in detectors if isinstance(one.detector, Model)]
    return AggregateDetail(
        extremes=any(one.of in _EXTREMES for one in detectors)
        or any(need_extremes(model.features.names) for model in models),
        latest=any(isinstance(one.detector, Inactivity) and one.detector.scope == "key" for one in detectors),
    )


def keeps_state(detectors: Iterable[ConfiguredDetector]) -> bool:
    """Whether any of these detectors remembers something, so that TOPICS_STATE is used."""
    return any(map(memory.keeps_state, detectors))


def has_shadow(detectors: Iterable[ConfiguredDetector]) -> bool:
    """Whether any of these detectors is in shadow mode, so that TOPICS_SHADOW is used."""
    return any(one.shadow for one in detectors)


def rules_hash(settings: Settings) -> str | None:
    """A short hash of `[[detectors]]`; None where there are none.

    The same detectors give the same hash, whatever the order of detectors and fields, and whether a default is written
    out. A model counts by its content.

    Raises:
        SettingsError: a model's file cannot be read.
    """
    if not settings.detectors:
        return None
    tables = sorted(json.dumps(_table(one), sort_keys=True, default=str) for one in settings.detectors)
    return hashlib.sha256("\n".join(tables).encode()).hexdigest()[:HASH_DIGITS]


def _made(one: DetectorSettings) -> Any:  # noqa: ANN401 - as ConfiguredDetector has it
    match one:
        case ThresholdSettings():
            return Threshold(one.limit, of=one.of, direction=Direction(one.direction), limits=one.limits)
        case DeviationSettings():
            return Deviation(
                of=one.of,
                sigmas=one.sigmas,
                direction=one.direction,
                min_windows=one.min_windows,
                half_life=one.half_life,
                clip_sigmas=one.clip_sigmas,
            )
        case InactivitySettings():
            return Inactivity(after_ms=one.after_ms, scope=one.scope, clock=one.clock)
        case ModelSettings():
            from service.app.onnx_model import load  # noqa: PLC0415 - needs the extra "model"

            try:
                return Model(score=load(Path(one.file), one.features), features=one.features, limit=one.limit)
            except SettingsError as error:
                raise SettingsError(f"DETECTORS: detector {one.name}: {error}") from None
        case ForeignSettings():
            return made_by_package(one)
    raise TypeError(f"no such settings: {type(one).__name__}")


def _direction(one: DetectorSettings) -> Direction:
    """On which side an anomaly is: a field of some types, and of a package's detector if it has one of that name."""
    found = one.fields.get("direction") if isinstance(one, ForeignSettings) else getattr(one, "direction", None)
    return next((side for side in Direction if side == found), Direction.ABOVE)


def _table(one: DetectorSettings) -> dict[str, Any]:
    table: dict[str, Any] = _plain(one.model_dump(mode="python"))
    if isinstance(one, ModelSettings):
        try:
            table["file"] = hashlib.sha256(Path(one.file).read_bytes()).hexdigest()
        except (OSError, ValueError) as error:
            raise SettingsError(f"DETECTORS: detector {one.name}: file: {error}") from None
    return table


def _plain(value: Any) -> Any:  # noqa: ANN401
    """The value with one form for each number: 8000, 8000.0 and 8E+3 are the same rule."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        sign, digits, exponent = Decimal(str(value)).as_tuple()
        text = "".join(map(str, digits)).lstrip("0")
        significant = text.rstrip("0")
        return {"number": [sign, significant, int(exponent) + len(text) - len(significant)] if significant else 0}
    return value
