"""What the detector of today's settings says of an alert's window, by the window's records alone."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from service.core.detectors import ConfiguredDetector, Finding, KeyWindow
from service.core.detectors.inactivity import Inactivity
from service.core.memory.failure import DetectorError
from service.core.model import Aggregate, EventTimeMs, TumblingWindow
from service.core.money import number_text
from service.wire.alerts import AlertPayload


@dataclass(frozen=True, slots=True)
class Today:
    """The settings' detector of the alert's name, and the hash of all of them."""

    configured: ConfiguredDetector | None = None
    """None: the settings have no detector of this name."""
    rules: str | None = None

    @property
    def silence(self) -> Inactivity | None:
        """The detector, if it looks for silences."""
        detector = None if self.configured is None else self.configured.detector
        return detector if isinstance(detector, Inactivity) else None

    def judges_alone(self, alert: AlertPayload) -> bool:
        """Whether it looks at what the alert is about, and needs nothing but the window's records."""
        one = self.configured
        if one is None or one.of.value != alert.of or self.silence is not None:
            return False
        return one.detector.state_type is None

    def finding(self, alert: AlertPayload, aggregate: Aggregate) -> Finding | None:
        """Judge a window of these records. Only where judges_alone().

        Raises:
            DetectorError: the detector raised an exception.
        """
        assert self.configured is not None  # noqa: S101 - judges_alone()
        detector = self.configured.detector
        span = TumblingWindow(alert.window.start, alert.window.end)
        window = KeyWindow(alert.transaction_id, aggregate, span, EventTimeMs(alert.watermark or 0))
        try:
            if hasattr(detector, "judge_all"):
                _, row = detector.prepare(None, window)
                (finding,) = detector.judge_all([row])
            else:
                _, finding = detector.judge(None, window)
        except Exception as error:  # a detector may be somebody's own code, and raise anything
            raise DetectorError.about(self.configured.name, window, error) from error
        found: Finding | None = finding
        return found


def limit_of(finding: Finding) -> Decimal:
    """The limit as an alert has it."""
    return Decimal(number_text(finding.limit))
