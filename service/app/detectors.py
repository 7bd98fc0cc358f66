"""Makes the detectors from the settings."""

from __future__ import annotations

from collections.abc import Iterable

from service.core.detectors import ConfiguredDetector
from service.core.detectors.threshold import Threshold
from service.core.model import AggregateDetail
from service.settings import Settings


def configured(settings: Settings) -> tuple[ConfiguredDetector, ...]:
    """The detectors in force."""
    return (ConfiguredDetector("threshold", Threshold(settings.detect.limit)),)


def detail_for(detectors: Iterable[ConfiguredDetector]) -> AggregateDetail:
    """What an aggregate must carry for these detectors."""
    del detectors
    return AggregateDetail()
