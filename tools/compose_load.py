"""A load whose every record is an anomaly, so that the alerts must hold all of it at the end."""

import datetime as dt
import json
import threading
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from tools.compose import CheckError, Stack, eventually, expect

ROWS: Final = 20_000
RATE: Final = 1_000
KEYS: Final = 50
BEGIN: Final = dt.datetime(2024, 5, 11, 11, tzinfo=dt.UTC)
"""After the example's last row, so that nothing is late."""


class Load:
    """Rows of their own keys, replayed as a user replays a file.

    Args:
        stack: what has to stand it.
        name: what its keys begin with.
        begin: the first row's event time.
    """

    def __init__(self, stack: Stack, name: str, begin: dt.datetime = BEGIN) -> None:
        self._stack = stack
        self._name = name
        self._rows = [(f"{name}{n % KEYS:02d}", Decimal(800_001 + n) / 100) for n in range(ROWS)]
        times = [begin + dt.timedelta(seconds=n // 100) for n in range(ROWS)]
        lines = [f"{key},{time:%F %T},{amount}" for time, (key, amount) in zip(times, self._rows, strict=True)]
        self._file = stack.folder / f"{name}.csv"
        self._file.write_text("\n".join(["transaction_id,timestamp,amount", *lines, ""]), encoding="utf-8")
        self._file.chmod(0o644)

    def survives(self, what: Callable[[], str]) -> str:
        """Replay it, cause the fault when a quarter has been read, and check that each row is in exactly one alert.

        Raises:
            CheckError: it is not.
        """
        failures: list[CheckError] = []

        def feed() -> None:
            options = ["/input.csv", "--pace", "rate", "--rate", str(RATE), "--no-progress"]
            try:
                self._stack.compose("run", "--rm", "-T", "--no-deps", "producer", *options, CSV=f"./{self._file.name}")
            except CheckError as error:
                failures.append(error)

        before = self._stack.records_read()
        feeding = threading.Thread(target=feed)
        feeding.start()
        try:
            eventually(lambda: self._stack.records_read() > before + ROWS / 4, "a quarter of the load is read")
            done = what()
        finally:
            feeding.join()
            self._file.unlink()
        expect(not failures, f"{failures}")
        return f"{done}; {self._compare(eventually(self._alerts, 'all of the load is in alerts'))}"

    def _alerts(self) -> list[dict[str, Any]] | None:
        alerts = [json.loads(line, parse_float=Decimal) for line in self._stack.alerts("--format", "json")]
        mine = [alert for alert in alerts if alert["transaction_id"].startswith(self._name)]
        return mine if sum(alert["count"] for alert in mine) >= ROWS else None

    def _compare(self, alerts: list[dict[str, Any]]) -> str:
        counts, sums, expected = Counter[str](), Counter[str](), Counter[str]()
        for alert in alerts:
            counts[alert["transaction_id"]] += alert["count"]
            sums[alert["transaction_id"]] += int(alert["amount"] * 100)
        for key, amount in self._rows:
            expected[key] += int(amount * 100)
        expect(sum(counts.values()) == ROWS, f"{sum(counts.values())} records in alerts, not {ROWS}")
        expect(sums == expected, f"sums differ for {[key for key in expected if sums[key] != expected[key]]}")
        expect(len({alert["alert_id"] for alert in alerts}) == len(alerts), "an alert came twice")
        return f"{ROWS} records, each in one of {len(alerts)} alerts"
