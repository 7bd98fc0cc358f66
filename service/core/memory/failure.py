"""The error of a detector that raised an exception. The txn is not committed, so nothing is lost."""

from __future__ import annotations

from typing import Self

from service.core.detectors import KeyWindow


class DetectorError(Exception):
    """A detector raised an exception. The text is one line, and names the detector, the id and the window."""

    @classmethod
    def about(cls, detector: str, window: KeyWindow, error: Exception) -> Self:
        """The error about one window of one key."""
        span = window.window
        what = " ".join(f"{type(error).__name__}: {error}".split())
        return cls(
            f"detector {detector}: id {window.transaction_id!r}, window {span.start_ms} to {span.end_ms}: {what}"
        )
