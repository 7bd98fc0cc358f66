"""After a history with detectors: do alerts, episodes and the restored state follow from the closed windows?"""

from __future__ import annotations

import ctypes
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from brokerkit.client import HasBootstrapServers, librdkafka, read_all
from brokerkit.service_process import Names, payloads
from histories.detector_oracle import Fold, Rule, fold, same
from histories.detector_values import Closed

FORGET_AFTER_MS: Final = 12_000
SEVERAL: Final[Sequence[Rule]] = (
    {"name": "threshold", "type": "threshold", "limit": 8000},
    {"name": "greatest", "type": "threshold", "of": "max", "limit": 1990, "limits": {"tx1*": 1950}, "mode": "shadow"},
    {"name": "busy", "type": "threshold", "of": "count", "limit": 4, "resolve_after": 2, "resolve_after_ms": 3_000},
    {
        "name": "unusual", "type": "deviation", "sigmas": 1.5, "direction": "both", "min_windows": 3, "clip_sigmas": 2,
        "resolve_after": 1,
    },
    {"name": "recent", "type": "deviation", "of": "mean", "min_windows": 4, "half_life": 3, "mode": "shadow"},
    {"name": "silent", "type": "inactivity", "after_ms": 4_000},
)  # fmt: skip
"""The detectors of histories: each kind of state, and alerts in both topics."""
_VERSION: Final = 1
States = Mapping[tuple[int, str, str], bytes]
"""Packed states by partition, detector and key."""


@dataclass(frozen=True)
class Move:
    """Partitions were added, and before the first window that ends after ``at_ms`` states of moved keys are dropped."""

    partition: int
    at_ms: float
    before: int
    now: int

    def has_moved(self, key: str) -> bool:
        """Whether the key's records went to this partition, and go to another one now."""
        return placed(key, self.before) == self.partition != placed(key, self.now)


@dataclass
class Outputs:
    """What was committed."""

    alerts: Sequence[Mapping[str, Any]]
    shadow: Sequence[Mapping[str, Any]]
    states: States


@dataclass
class Due:
    """What should have been committed."""

    alerts: list[dict[str, Any]] = field(default_factory=list)
    shadow: list[dict[str, Any]] = field(default_factory=list)
    states: dict[tuple[int, str, str], list[Any]] = field(default_factory=dict)

    def add(self, partition: int, folds: Iterable[Fold]) -> None:
        """Add a partition."""
        for one in folds:
            (self.shadow if one.shadow else self.alerts).extend(one.alerts)
            self.states |= {(partition, one.name, key): packed for key, packed in one.packed().items()}


def audit_detectors(
    broker: HasBootstrapServers,
    names: Names,
    windows: Mapping[int, Sequence[Closed]],
    rules: Sequence[Rule] = SEVERAL,
    moves: Sequence[Move] = (),
) -> list[str]:
    """Compare with what the windows of each partition give; returns faults."""
    due = Due()
    for partition, closed in windows.items():
        here = [one for one in moves if one.partition == partition]
        due.add(
            partition,
            fold(
                rules, names.transactions, partition, closed, forget_after_ms=FORGET_AFTER_MS, moves=_before(here)
            ),
        )  # fmt: skip
    return differences(due, outputs_of(broker, names))


def outputs_of(broker: HasBootstrapServers, names: Names) -> Outputs:
    """Read what was committed."""
    return Outputs(payloads(broker, names.alerts), payloads(broker, names.shadow), states_of(broker, names.state))


def states_of(broker: HasBootstrapServers, topic: str) -> dict[tuple[int, str, str], bytes]:
    """What a reader of the compacted topic finds: the last value of each key, in each partition."""
    found: dict[tuple[int, str, str], bytes] = {}
    for message in read_all(broker, topic):
        detector, _, key = (message.key() or b"").decode().partition("\0")
        place = (message.partition() or 0, detector, key)
        value = message.value()
        if value is None:
            found.pop(place, None)
        else:
            found[place] = value
    return found


def differences(due: Due, found: Outputs) -> list[str]:
    """The faults, few of each kind."""
    faults = _states(due.states, found.states)
    for what, wanted, there in (("alert", due.alerts, found.alerts), ("shadow alert", due.shadow, found.shadow)):
        faults += _alerts(what, wanted, there)
    ids = Counter(one["alert_id"] for one in (*found.alerts, *found.shadow))
    faults += [f"alert {one} is there {count} times" for one, count in ids.items() if count > 1][:5]
    return faults + _episodes([*found.alerts, *found.shadow], found.states)


def _alerts(what: str, wanted: Iterable[Mapping[str, Any]], there: Iterable[Mapping[str, Any]]) -> list[str]:
    due, found = _by_place(wanted), _by_place(there)
    faults = [f"{what} missing: {due[one]}" for one in due.keys() - found.keys()][:3]
    faults += [f"{what} not due: {found[one]}" for one in found.keys() - due.keys()][:3]
    for place in due.keys() & found.keys():
        for wanted_one, found_one in zip(due[place], found[place], strict=False):
            if not same(wanted_one, _compared(found_one, wanted_one)):
                faults.append(f"{what} where {wanted_one} is due: {found_one}")
        if len(due[place]) != len(found[place]):
            faults.append(f"{what} is there {len(found[place])} times: {found[place][0]}")
    return faults[:8]


def _by_place(alerts: Iterable[Mapping[str, Any]]) -> dict[tuple[Any, ...], list[Mapping[str, Any]]]:
    found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for one in alerts:
        window, partition = one["window"], one["source"]["partition"]
        what = (one["detector"], one.get("status"), one["transaction_id"])
        found[*what, partition, window["start"], window["end"]].append(one)
    return found


def _compared(alert: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """An alert without what the oracle does not know: hashes, and when it was written."""
    unknown = {"alert_id", "episode_id", "rules", "detected_at"} - wanted.keys()
    return {name: value for name, value in alert.items() if name not in unknown}


def _states(due: Mapping[tuple[int, str, str], list[Any]], found: States) -> list[str]:
    faults = [f"state missing: {one}: {due[one]}" for one in sorted(due.keys() - found.keys())][:3]
    faults += [f"state not due: {one}: {_unpacked(found[one])}" for one in sorted(found.keys() - due.keys())][:3]
    wrong = [one for one in sorted(due.keys() & found.keys()) if not same(due[one], _unpacked(found[one]))]
    faults += [f"state of {one} is {_unpacked(found[one])} where {due[one]} is due" for one in wrong[:3]]
    return faults


def _unpacked(packed: bytes) -> Any:  # noqa: ANN401 - whatever it holds
    if packed[0] != _VERSION:
        return packed
    return msgspec.msgpack.decode(packed[1:])


def _episodes(alerts: Iterable[Mapping[str, Any]], states: States) -> list[str]:
    """Each episode is opened once, by the alert of its id; and it is either resolved, or open in the state."""
    faults, begun, ended = [], dict[str, Any](), set[str]()
    for one in alerts:
        match one.get("status"):
            case "open":
                begun[one["alert_id"]] = one
                if one["alert_id"] != one["episode_id"]:
                    faults.append(f"an episode is opened with another id than the alert's: {one}")
            case "resolved":
                ended.add(one["episode_id"])
    still = {unpacked[3][0] for unpacked in map(_unpacked, states.values()) if unpacked[3] is not None}
    faults += [f"episode {one} ends and was never opened" for one in (ended | still) - begun.keys()][:3]
    faults += [f"episode has ended and is remembered as open: {begun.get(one)}" for one in ended & still][:3]
    faults += [f"episode is lost: {begun[one]}" for one in begun.keys() - ended - still][:3]
    return faults


def placed(key: str, partitions: int) -> int:
    """Where the client's own partitioner sends a key."""
    name = key.encode()
    partitioner = librdkafka().rd_kafka_msg_partitioner_murmur2
    partitioner.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int32, *[ctypes.c_void_p] * 2]
    found: int = partitioner(None, name, len(name), partitions, None, None)
    return found


def _before(moves: Sequence[Move]) -> Callable[[float], Callable[[str], bool] | None]:
    """For fold(): which keys have left before a window that ends then."""
    waiting = sorted(moves, key=lambda one: one.at_ms)

    def due(end_ms: float) -> Callable[[str], bool] | None:
        passed = []
        while waiting and waiting[0].at_ms < end_ms:
            passed.append(waiting.pop(0))
        return (lambda key: any(one.has_moved(key) for one in passed)) if passed else None

    return due
