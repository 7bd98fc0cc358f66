"""schemas/ and asyncapi.yaml are what their program writes; real payloads are valid, and changed ones are not."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from service.core.detectors import ConfiguredDetector, Direction, Finding, KeyWindow, Of
from service.core.detectors.deviation import Deviation
from service.core.detectors.inactivity import Inactivity
from service.core.detectors.model import Model
from service.core.detectors.threshold import Threshold
from service.core.model import LatePolicy
from service.forward.lane import Lane
from service.forward.templates import TEMPLATES, Context, Forwarded
from service.forward.undelivered import undelivered_record
from service.forward.verdicts import Undelivered
from service.history.explain import Explanation
from service.settings.kafka import TopicsSettings
from service.testing import HandDrivenTask
from service.wire.alerts import AlertPayload, aggregate_record
from service.wire.records import Headers
from service.wire.transactions import JsonDecoder, encode_transaction
from tests.contracts import Value, check, faults, parsed, validator
from tests.driver import T0
from tests.strategies import AMOUNTS
from tests.unit import test_wire_alerts as wire
from tests.unit.test_cli_service import Txwatch
from tests.unit.test_forward import lane_of, waiting
from tools import contracts, reference_samples

OPEN: Final = {"transaction", "alert-of-a-package", "set-aside-headers", "undelivered-headers", "rekeyed-headers"}
"""Others may add to these."""
OPTIONAL: Final = {
    "alert": {"rules"},
    "alert-of-a-package": {"rules", "baseline", "score", "features"},
    "set-aside-headers": {
        "txwatch.timestamp", "txwatch.truncated_from", "txwatch.key_truncated_from", "txwatch.headers_dropped",
    },
    "undelivered-headers": {"txwatch.truncated_from", "txwatch.key_truncated_from", "txwatch.headers_dropped"},
    "backtest": {"against", "budget", "limit", "sigmas", "ids_detected"},
}  # fmt: skip
"""Fields that a valid value may lack whatever else it has."""
QUALITY: Final = {"precision", "recall", "average_precision", "seconds_to_detection"}
DECIMAL: Final = re.compile(rb'"amount":-?(?:(?:0|[1-9][0-9]*)\.(?:0|[0-9]*[1-9])|[1-9](?:\.[0-9]*[1-9])?E-[0-9]+)[,}]')
"""How an amount is written, as the schemas say in words."""


class Own:
    """Somebody's own detector: it reports each window, and says why."""

    state_type = None
    state_kind = ""

    def judge(self, state: None, window: KeyWindow) -> tuple[None, Finding]:
        """Report it."""
        del state, window
        return None, Finding(Decimal(1), fields={"why": "because", "score": 3.5})


def alerts_of(*detectors: ConfiguredDetector, settings: dict[str, str] | None = None) -> list[Value]:
    """All alerts that these detectors give of the same input: ordinary windows, three large ones, and a silence."""
    by_event = {"WINDOW_CLOCK": "event", "LATE_POLICY": "divert", "WATERMARK_LATENESS_MS": "0", **(settings or {})}
    task = HandDrivenTask(*detectors, now_ms=T0, settings=by_event)
    amounts: list[float | Decimal] = [100.0, 101.0, 99.5, 100.25, 9000.0, Decimal("9000.0000000000000001"), 90.0, 91.0]
    task.replay(*[("tx1", T0 + number * 10_000, amount) for number, amount in enumerate(amounts)])
    task.replay(("tx2", T0 + 200_000, 1.0), ("tx2", T0 + 300_000, 1.0))
    return task.alerts


def _samples_of_alerts() -> dict[str, list[Value]]:
    both = Deviation(sigmas=3, min_windows=3, direction=Direction.BOTH)
    model = Model(score=lambda found: [row[0] for row in found], features=("sum", "late_share", "hour"), limit=500.0)
    of_all = {
        "threshold": ConfiguredDetector("high", Threshold(Decimal(8000))),
        "threshold of max": ConfiguredDetector("max", Threshold(Decimal(8000), of=Of.MAX), of=Of.MAX),
        "threshold, episodes": ConfiguredDetector("episodes", Threshold(Decimal(8000)), resolve_after=2),
        "deviation": ConfiguredDetector("odd", Deviation(sigmas=3, min_windows=3)),
        "deviation, episodes": ConfiguredDetector("both", both, resolve_after=1, direction=Direction.BOTH),
        "inactivity": ConfiguredDetector("silent", Inactivity(after_ms=60_000)),
        "model": ConfiguredDetector("model", model),
        "model, episodes": ConfiguredDetector("models", model, resolve_after=2),
    }
    return {name: alerts_of(one) for name, one in of_all.items()}


ALERTS: Final = _samples_of_alerts()
OF_A_PACKAGE: Final = alerts_of(ConfiguredDetector("own", Own(), resolve_after=3)) + alerts_of(
    ConfiguredDetector("own", Own())
)
WITH_RULES: Final = alerts_of(settings={"DETECTORS": '[{"name":"high","type":"threshold","of":"count","limit":0.5}]'})


def texts(headers: Headers | None) -> dict[str, str]:
    """Headers as a JSON object."""
    return {name: reference_samples.text(value) for name, value in headers or []}


def cloud_event(value: Value) -> Value:
    """The body that `forward` sends of an alert."""
    text = json.dumps(value, default=float).encode()
    one = Forwarded(AlertPayload.from_json(text), text)
    return parsed(TEMPLATES["cloudevents"](one, Context(0, 0, {})).data)


def undelivered(value: bytes = b"x") -> dict[str, str]:
    """The headers of a record that was given up."""
    lane: Lane = lane_of(waiting(7, value=value))
    lane.reason, lane.answer = Undelivered.REFUSED, "400 Bad Request"
    return texts(undelivered_record("alerts.undelivered", "alerts", lane, 2_000).headers)


def explanation(alert: Value) -> Value:
    """What explain prints where the records have expired."""
    payload = AlertPayload.from_json(json.dumps(alert, default=float).encode())
    return Explanation(payload, JsonDecoder(), 1_000, 0, LatePolicy.DIVERT).as_json()


def aggregate() -> Value:
    """One key's sum in a window."""
    closed = wire.closed_with(wire.aggregate_of(9000.0, 0.1))
    return parsed(aggregate_record("aggregates", wire.SOURCE, closed, "tx1", closed.aggregates["tx1"]).value)


def samples() -> Iterator[tuple[str, Value]]:
    """Real payloads, made by the code that makes them: the schema's name and the value."""
    yield "transaction", parsed(encode_transaction("tx1", T0, "12.50"))
    for alerts in (*ALERTS.values(), WITH_RULES):
        for alert in alerts:
            yield "alert", alert
            yield "alert-of-a-package", alert
    yield "alert", parsed(reference_samples.alert().value)
    for alert in OF_A_PACKAGE:
        yield "alert-of-a-package", alert
    yield "cloudevent", cloud_event(ALERTS["deviation"][0])
    yield "aggregate", aggregate()
    yield "alert-headers", texts(reference_samples.alert().headers)
    yield "set-aside-headers", dict(reference_samples.set_aside_headers())
    yield "undelivered-headers", undelivered()
    yield "undelivered-headers", undelivered(b"x" * 2_000)
    yield "rekeyed-headers", texts(reference_samples.rekeyed().headers)
    yield "status", reference_samples.status()
    yield "replay-summary", reference_samples.summary()
    yield "explanation", explanation(ALERTS["threshold"][0])


SAMPLES: Final = list(samples())


def test_the_files_are_what_their_program_writes() -> None:
    found = {f"schemas/{path.name}": path.read_text(encoding="utf-8") for path in contracts.SCHEMAS.iterdir()}
    found[contracts.ASYNCAPI.name] = contracts.ASYNCAPI.read_text(encoding="utf-8")
    assert contracts.files() == found, "run: python -m tools.contracts"


@pytest.mark.parametrize("name", sorted(path.stem for path in contracts.SCHEMAS.iterdir()))
def test_each_schema_is_one_and_describes_each_field(name: str) -> None:
    schema: dict[str, Any] = dict(validator(name).schema)  # type: ignore[arg-type]
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft7Validator.check_schema({**schema, "$schema": "http://json-schema.org/draft-07/schema#"})
    assert schema["description"]
    plain = [field for field, one in schema["properties"].items() if not one.keys() & {"description", "const"}]
    assert (["data"] if name == "cloudevent" else []) == plain


def test_there_are_alerts_of_every_kind() -> None:
    assert all(ALERTS.values()), {name: len(found) for name, found in ALERTS.items()}
    seen = {key for found in ALERTS.values() for alert in found for key in alert} | set(WITH_RULES[0])
    assert set(AlertPayload.model_fields) == seen
    for name in ("threshold, episodes", "deviation, episodes", "model, episodes"):
        assert {"open", "resolved"} == {alert["status"] for alert in ALERTS[name]}


def test_what_the_code_writes_is_valid() -> None:
    for name, value in SAMPLES:
        check(name, value)


def places(value: Value, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each object in a value."""
    if isinstance(value, dict):
        yield path
        for key, one in value.items():
            yield from places(one, (*path, key))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from places(one, (*path, index))


def changed(value: Value, path: tuple[Any, ...], field: str, *to: Value) -> Value:
    """A copy in which this field is something else, or gone."""
    copied = copy.deepcopy(value)
    place = copied
    for step in path:
        place = place[step]
    if to:
        (place[field],) = to
    else:
        del place[field]
    return copied


FLOATS: Final = st.floats(allow_nan=False, allow_infinity=False)
BY_NAME: Final = {"by_detector", "open_episodes", "rejected", "unusable_rows", "detectors", "features"}
"""Objects with a key for each detector, reason or feature."""
OWN_FIELDS: Final = {"own", "why"}
"""What is somebody's own in the samples, and may be anything."""


def mutants(name: str, value: Value) -> Iterator[tuple[str, Value]]:
    """The value with one thing wrong: a field too many, of another type, or missing; and what is wrong."""
    for path in places(value):
        place = value
        for step in path:
            place = place[step]
        free = bool(path) and path[-1] in BY_NAME
        if not free and (path or name not in OPEN):
            yield f"{path}: a field too many", changed(value, path, "surprise", "x")
        for field in place:
            if name in OPEN and field in OWN_FIELDS:
                continue
            yield f"{path}: {field} of another type", changed(value, path, field, [[None]])
            may_lack = OPTIONAL.get(name, set()) | (QUALITY if path else set())
            if not free and field not in may_lack:
                yield f"{path}: {field} missing", changed(value, path, field)


def missed(name: str, value: Value) -> list[str]:
    """The mutants that the schema takes for valid."""
    return [what for what, one in mutants(name, value) if validator(name).is_valid(one)]


@pytest.mark.parametrize("name", sorted({name for name, _ in SAMPLES} - {"cloudevent"}))
def test_a_field_too_many_of_another_type_or_missing_is_a_fault(name: str) -> None:
    distinct = {tuple(value): value for of, value in SAMPLES if of == name}
    for value in distinct.values():
        assert [] == missed(name, value)


def test_a_cloud_event_has_these_fields_and_an_alert_in_it() -> None:
    value = cloud_event(ALERTS["threshold"][0])
    assert [] == [what for what in missed("cloudevent", value) if not what.startswith("('data',")]
    for field in set(value["data"]):
        assert faults("cloudevent", changed(value, ("data",), field)), field


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("threshold", {"count": 0}),
        ("threshold", {"timestamp": None}),
        ("threshold", {"of": "sum", "value": 1}),
        ("threshold", {"of": "max"}),
        ("threshold", {"score": 1.5}),
        ("threshold", {"status": "open"}),
        ("threshold", {"status": "open", "episode_id": "x", "peak": 1}),
        ("threshold", {"status": "over", "episode_id": "x"}),
        ("threshold", {"amount": "9000.0"}),
        ("threshold", {"detector": "High"}),
        ("inactivity", {"count": 1, "window": {"start": 1, "end": 2, "clock": "wall"}}),
        ("inactivity", {"status": "open", "episode_id": "x"}),
        ("inactivity", {"window": {"start": 1, "end": 2, "clock": "processing"}}),
        ("deviation", {"features": {"sum": 1.0}}),
        ("model", {"features": {"sum": "much"}}),
    ],
)
def test_what_no_alert_of_its_kind_says_is_a_fault(kind: str, fields: dict[str, Any]) -> None:
    assert faults("alert", ALERTS[kind][0] | fields)


def test_fields_of_somebodys_own_are_only_in_alerts_of_a_package() -> None:
    assert faults("alert", OF_A_PACKAGE[0])
    check("cloudevent", cloud_event(OF_A_PACKAGE[0]))


@given(st.lists(AMOUNTS, min_size=1, max_size=5))
def test_any_amount_is_valid_and_written_as_the_schemas_say(amounts: list[float | Decimal]) -> None:
    value = wire.alert_of(*amounts).value or b""
    check("alert", parsed(value))
    assert DECIMAL.search(value), value[:500]


@given(st.text(min_size=1, max_size=50), st.integers(100_000_000_000, 2**63 - 1), FLOATS)
def test_any_transaction_is_valid(transaction_id: str, timestamp: int, amount: float) -> None:
    check("transaction", parsed(encode_transaction(transaction_id, timestamp, repr(amount))))


def test_the_report_of_a_backtest_is_valid_with_all_its_parts_and_with_none(tmp_path: Path) -> None:
    lines = [f"tx{row % 3},2024-05-11 {row // 60:02}:{row % 60:02}:00,{row % 7}.25,{row % 2}" for row in range(200)]
    (tmp_path / "some.csv").write_text("\n".join(["transaction_id,timestamp,amount,fraud", *lines, "tx1,x,1,0"]) + "\n")
    (tmp_path / "new.toml").write_text(NEW)
    (tmp_path / "old.toml").write_text(OLD)
    txwatch = Txwatch(tmp_path)
    everything = ("--label", "fraud", "--budget", "5/day", "--against", "old.toml")
    for arguments in ((), ("--config", "new.toml", *everything)):
        done = txwatch("backtest", "--csv", "some.csv", "--format", "json", *arguments)
        assert (0, "") == (done.code, done.err)
        value = parsed(done.out)
        check("backtest", value)
        few = {name: one[:1] if isinstance(one, list) else one for name, one in value.items()}
        assert [] == missed("backtest", few)
    assert all(value[part] for part in ("gained", "lost", "against", "top_ids"))


NEW = """
[window]
clock = "event"
[late]
policy = "divert"
[[detectors]]
name = "big"
type = "threshold"
of = "max"
limit = 4
[[detectors]]
name = "odd"
type = "deviation"
min_windows = 5
mode = "shadow"
"""
OLD = """
[window]
clock = "event"
[late]
policy = "divert"
[[detectors]]
name = "small"
type = "threshold"
limit = 3
direction = "below"
"""


def test_the_channels_are_the_topics_of_the_settings() -> None:
    document = yaml.safe_load(contracts.ASYNCAPI.read_text(encoding="utf-8"))
    topics = TopicsSettings()
    by_setting = {
        f"TOPICS_{name.upper()}": value or None
        for name, value in topics.model_dump().items()
        if name not in {"create", "partitions", "replication"}
    }
    channels = document["channels"]
    named = {one["description"].split("`")[-2]: one["address"] for one in channels.values()}
    assert by_setting == {name: address for name, address in named.items() if name.startswith("TOPICS_")}
    used = {one["channel"]["$ref"].rpartition("/")[2] for one in document["operations"].values()}
    assert set(channels) == used


@pytest.mark.parametrize("message", ["setAside", "undelivered", "rekeyed"])
@pytest.mark.parametrize("value", ["no alert", OF_A_PACKAGE[0], 7])
def test_what_is_copied_byte_for_byte_may_be_anything(message: str, value: Value) -> None:
    document = yaml.safe_load(contracts.ASYNCAPI.read_text(encoding="utf-8"))
    found = document["components"]["messages"][message]
    assert "application/octet-stream" == found["contentType"]
    jsonschema.validate(value, found["payload"], cls=jsonschema.Draft202012Validator)


def test_every_schema_of_a_record_is_in_the_channels() -> None:
    text = contracts.ASYNCAPI.read_text(encoding="utf-8")
    alone = {"cloudevent.json", "status.json", "backtest.json", "explanation.json", "replay-summary.json"}
    used = set(re.findall(r"\./schemas/([a-z-]+\.json)", text))
    assert {path.name for path in contracts.SCHEMAS.iterdir()} - alone == used
