"""The metrics by the contract's names, types, units and labels."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry, Counter, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from service.core.model import Reason
from service.observe.metrics import Metrics
from service.observe.status import PartitionStatus, Status, StatusBoard

DECLARED = {
    "txwatch_records": ("counter", {"topic", "partition"}),
    "txwatch_records_late": ("counter", {"topic", "partition"}),
    "txwatch_records_filtered": ("counter", {"topic", "partition"}),
    "txwatch_records_rejected": ("counter", {"reason"}),
    "txwatch_watermark_timestamp_seconds": ("gauge", {"topic", "partition"}),
    "txwatch_watermark_min_timestamp_seconds": ("gauge", set()),
    "txwatch_partition_idle": ("gauge", {"topic", "partition"}),
    "txwatch_consumer_lag_records": ("gauge", {"topic", "partition"}),
    "txwatch_open_windows": ("gauge", {"topic", "partition"}),
    "txwatch_windows_closed": ("counter", set()),
    "txwatch_anomalies": ("counter", {"detector"}),
    "txwatch_shadow_anomalies": ("counter", {"detector"}),
    "txwatch_open_episodes": ("gauge", {"detector"}),
    "txwatch_state_keys": ("gauge", {"topic", "partition"}),
    "txwatch_state_restore_seconds": ("gauge", set()),
    "txwatch_alert_latency_seconds": ("histogram", set()),
    "txwatch_commit_seconds": ("histogram", set()),
    "txwatch_transactions": ("counter", {"outcome"}),
    "txwatch_throttle_seconds": ("histogram", {"client"}),
    "txwatch_rebalances": ("counter", {"kind"}),
    "txwatch_offset_resets": ("counter", {"reason"}),
    "txwatch_ids_in_two_partitions": ("counter", set()),
    "txwatch_log_lines_dropped": ("counter", set()),
    "txwatch_ready": ("gauge", set()),
    "txwatch_input_blocked_seconds": ("gauge", {"topic", "partition"}),
    "txwatch_records_skipped": ("counter", {"topic", "partition"}),
    "txwatch_build_info": ("gauge", {"version", "librdkafka"}),
    "txwatch_config_reload_failed": ("gauge", set()),
}


BOUNDED = {"topic", "partition", "reason", "detector", "outcome", "client", "kind", "version", "librdkafka"}
"""Labels of few values. An id, a key or a message would make a series for each of its values."""


def partition(number: int = 0, watermark: int | None = 1_715_392_809_500, *, idle: bool = False) -> PartitionStatus:
    """A partition as the loop posts it."""
    return PartitionStatus("transactions", number, 7, 3, watermark, idle=idle, open_keys=2, blocked_ms=1_500)


class Shown:
    """Metrics with everything in them, and what a scrape finds."""

    def __init__(self, *partitions: PartitionStatus) -> None:
        self.registry = CollectorRegistry()
        self.board = StatusBoard(lambda: 0.0)
        self.board.status = Status(None, partitions)
        self.metrics = Metrics(self.registry, self.board, "1.2.3", "2.16.0")

    def sample(self, name: str, **labels: str) -> float | None:
        """One sample, or None where there is none."""
        return self.registry.get_sample_value(f"txwatch_{name}", labels)

    def families(self) -> dict[str, Metric]:
        """What a scrape in the OpenMetrics format finds."""
        return {family.name: family for family in parse_openmetrics(generate_openmetrics(self.registry).decode())}  # type: ignore[no-untyped-call]


def used() -> Shown:
    """Metrics that all have a sample."""
    shown = Shown(replace(partition(), state_keys=5))
    shown.board.status = replace(shown.board.status, open_episodes={"high": 2})
    shown.board.state_restore_s = 0.5
    shown.metrics.shadow_anomalies.labels("trial").inc()
    shown.metrics.records.labels("transactions", "0").inc(5)
    shown.metrics.late.labels("transactions", "0").inc()
    shown.metrics.filtered.labels("transactions", "0").inc()
    shown.metrics.skipped.labels("transactions", "0").inc()
    shown.metrics.alert_latency.observe(0.01)
    shown.metrics.commit.observe(0.01)
    return shown


@pytest.mark.parametrize("name", DECLARED)
def test_a_metric_has_the_contracts_type_and_labels(name: str) -> None:
    kind, labels = DECLARED[name]
    family = used().families()[name]
    assert kind == family.type
    assert family.samples
    assert {frozenset(labels)} == {frozenset(set(sample.labels) - {"le"}) for sample in family.samples}
    assert family.documentation


def test_counters_end_in_total_in_both_formats() -> None:
    shown = used()
    counters = {f"{name}_total" for name, (kind, _) in DECLARED.items() if kind == "counter"}
    for text in (generate_latest(shown.registry).decode(), generate_openmetrics(shown.registry).decode()):  # type: ignore[no-untyped-call]
        assert counters <= {line.partition("{")[0].partition(" ")[0] for line in text.splitlines()}


def test_everything_has_the_prefix() -> None:
    families = list(parse(generate_latest(used().registry).decode()))
    assert [] == [family.name for family in families if not family.name.startswith("txwatch_")]


def undeclared(registry: CollectorRegistry) -> list[str]:
    """Metrics, and labels of metrics, that are not declared in DECLARED or have too many values.

    A metric is asked for itself, too: one that has labels and was never used shows no sample.
    """
    found = {family.name: family for family in registry.collect()}
    names = [name for name in found if name not in DECLARED]
    labels = [
        f"{name}{{{label}}}"
        for name, family in found.items()
        for label in sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        if label not in BOUNDED or label not in DECLARED.get(name, ("", set()))[1]
    ]
    return names + labels


def test_every_metric_and_every_label_is_declared() -> None:
    shown = used()
    assert [] == undeclared(shown.registry)
    assert set(DECLARED) == {family.name for family in shown.registry.collect()}


@pytest.mark.parametrize(
    ("name", "labels", "complaints"),
    [
        ("txwatch_new", (), ["txwatch_new"]),
        ("txwatch_new", ("topic",), ["txwatch_new", "txwatch_new{topic}"]),
        ("txwatch_new", ("transaction_id",), ["txwatch_new", "txwatch_new{transaction_id}"]),
        ("txwatch_commits", ("transaction_id",), ["txwatch_commits", "txwatch_commits{transaction_id}"]),
    ],
)
def test_the_guard_refuses_what_is_not_declared(name: str, labels: tuple[str, ...], complaints: list[str]) -> None:
    registry = CollectorRegistry()
    counter = Counter(name, "planted", labels, registry=registry)
    if labels:
        assert [name] == undeclared(registry), "it has no sample yet"
        counter.labels(*["x"] * len(labels))
    assert complaints == undeclared(registry)


def test_the_guard_refuses_an_id_as_a_label_of_a_declared_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = CollectorRegistry()
    Counter("txwatch_records", "planted", ("topic", "transaction_id"), registry=registry).labels("transactions", "tx1")
    assert ["txwatch_records{transaction_id}"] == undeclared(registry)
    monkeypatch.setitem(DECLARED, "txwatch_records", ("counter", {"topic", "transaction_id"}))
    assert ["txwatch_records{transaction_id}"] == undeclared(registry), "no declaration makes it one of few values"


def test_outcomes_reasons_and_kinds_are_there_from_the_start_as_zero() -> None:
    shown = Shown()
    reasons = [reason.value for reason in Reason if reason is not Reason.LATE]
    assert [0] * len(reasons) == [shown.sample("records_rejected_total", reason=reason) for reason in reasons]
    assert [0, 0] == [shown.sample("transactions_total", outcome=outcome) for outcome in ("committed", "aborted")]
    assert [0] * 3 == [shown.sample("rebalances_total", kind=kind) for kind in ("assigned", "revoked", "lost")]
    resets = ("beyond_end", "expired", "no_offset", "new_partition")
    assert [0] * 4 == [shown.sample("offset_resets_total", reason=reason) for reason in resets]
    assert 0 == shown.sample("anomalies_total", detector="threshold")
    assert 0 == shown.sample("windows_closed_total")


def test_late_is_no_reason_for_a_rejection() -> None:
    assert Shown().sample("records_rejected_total", reason="late") is None


def test_the_build_says_which_versions_it_is_of() -> None:
    assert 1 == Shown().sample("build_info", version="1.2.3", librdkafka="2.16.0")


def test_a_watermark_is_in_seconds_with_its_milliseconds() -> None:
    assert 1_715_392_809.5 == Shown(partition()).sample(
        "watermark_timestamp_seconds", topic="transactions", partition="0"
    )


def test_a_partition_without_a_watermark_has_no_such_series() -> None:
    shown = Shown(partition(watermark=None))
    labels = {"topic": "transactions", "partition": "0"}
    assert shown.sample("watermark_timestamp_seconds", **labels) is None
    assert (0, 3, 2) == tuple(
        shown.sample(name, **labels) for name in ("partition_idle", "consumer_lag_records", "open_windows")
    )


def test_an_unknown_lag_is_no_series() -> None:
    shown = Shown(PartitionStatus("transactions", 0, 7, None, None, idle=False, open_keys=0))
    assert shown.sample("consumer_lag_records", topic="transactions", partition="0") is None


def test_an_idle_partition_is_one() -> None:
    assert 1 == Shown(partition(idle=True)).sample("partition_idle", topic="transactions", partition="0")


@pytest.mark.parametrize(
    ("partitions", "least"),
    [
        ([], None),
        ([partition(0, None)], None),
        ([partition(0, 5_000)], 5),
        ([partition(0, 5_000), partition(1, 4_000), partition(2, 6_000)], 4),
        ([partition(0, 5_000), partition(1, 4_000, idle=True)], 5),
        ([partition(0, 5_000), partition(1, None)], 5),
        ([partition(0, 5_000, idle=True), partition(1, 4_000, idle=True)], None),
        ([partition(0, 5_000, idle=True), partition(1, None)], None),
        ([partition(0, 0)], 0),
    ],
)
def test_the_services_watermark_is_the_least_that_is_not_idle(
    partitions: list[PartitionStatus], least: float | None
) -> None:
    assert least == Shown(*partitions).sample("watermark_min_timestamp_seconds")


ALWAYS = {"txwatch_build_info", "txwatch_config_reload_failed", "txwatch_ready", "txwatch_state_restore_seconds"}


def test_where_no_partition_is_assigned_no_gauge_of_one_is_left() -> None:
    shown = used()
    shown.board.status = Status(None)
    gauges = [name for name, (kind, _) in DECLARED.items() if kind == "gauge" and name not in ALWAYS]
    families = shown.families()
    assert [] == [sample for name in gauges if name in families for sample in families[name].samples]
    assert 5 == shown.sample("records_total", topic="transactions", partition="0")


@pytest.mark.parametrize("name", ["alert_latency_seconds", "commit_seconds"])
def test_histograms_tell_a_latency_of_250_ms_from_one_above(name: str) -> None:
    bounds = [sample.labels["le"] for sample in used().families()[f"txwatch_{name}"].samples if "le" in sample.labels]
    assert {"0.01", "0.25", "+Inf"} <= set(bounds)
    assert all(float(one) < float(next_one) for one, next_one in pairwise(bounds))


def test_two_services_in_one_process_do_not_share_their_numbers() -> None:
    one, other = used(), used()
    one.metrics.windows_closed.inc()
    assert (1, 0) == (one.sample("windows_closed_total"), other.sample("windows_closed_total"))
