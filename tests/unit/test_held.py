"""A partition whose schema is not there yet waits, paused, and loses and repeats nothing; the others go on."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from collections.abc import Sequence

import pytest

from service.core.model import ClockName, LatePolicy, Partition
from service.loop.errors import Abortable
from service.loop.events import Records
from service.wire.decoder import Decoded, SchemasPending
from service.wire.records import InRecord
from service.wire.transactions import JsonDecoder
from tests.loop import Loop, pay

WHY = "the schema registry does not answer: connection refused"


class Registered(JsonDecoder):
    """A decoder that needs a schema for records with this id."""

    needs = b"new"
    why: str | None = WHY
    there = False

    def decode(self, records: Sequence[InRecord]) -> Decoded:
        if not self.there and any(self.needs in (record.value() or b"") for record in records):
            raise SchemasPending(self.why)
        return super().decode(records)


def waiting(**more: str | None) -> tuple[Loop, Registered]:
    """Partition 0 has read a record and waits with its second; partition 1 goes on."""
    decoder = Registered()
    decoder.why = more.get("why", WHY)
    loop = Loop(partitions=(0, 1), decoder=decoder)
    loop.put(pay(1, 5.0))
    loop.turn(1)
    loop.put(pay(2, 6.0, "new"), pay(3, 7.0))
    loop.put(pay(1, 9.0, "other"), partition=1)
    loop.turn(2)
    return loop, decoder


def committed(loop: Loop) -> dict[int, int]:
    return {partition: offset for partition, (offset, _) in loop.kafka.committed.items()}


def test_it_waits_paused_and_the_others_go_on() -> None:
    loop, _ = waiting()
    loop.put(pay(4, 8.0))
    loop.turn(3, 10_000)
    assert {Partition(0)} == loop.input.paused
    assert {0: 1, 1: 1} == committed(loop)
    assert WHY == loop.why_not_ready()
    assert [WHY] == [line["error"] for line in loop.events("schema_registry_awaited")]
    assert 2 == sum(loop.of_partition("records_total", one) or 0 for one in (0, 1))


def test_nothing_is_lost_or_repeated_once_the_schema_is_there() -> None:
    loop, decoder = waiting()
    loop.put(pay(4, 8.0))
    loop.turn(3)
    decoder.there = True
    loop.turn(4, 5, 10_000)
    assert (set(), None) == (loop.input.paused, loop.why_not_ready())
    assert {0: 4, 1: 1} == committed(loop)
    assert [(0, "new", 6.0, 1), (0, "other", 9.0, 1), (0, "tx1", 20.0, 3)] == sorted(loop.sums())
    assert 1 == len(loop.events("schema_registry_well_again"))


def test_to_wait_for_a_first_answer_is_no_trouble() -> None:
    loop, _ = waiting(why=None)
    loop.turn(3, 1_500)
    assert {Partition(0)} == loop.input.paused
    assert (None, []) == (loop.why_not_ready(), loop.events("schema_registry_awaited"))


@pytest.mark.parametrize("lost", [False, True], ids=["revoked", "lost"])
def test_a_revoked_partition_is_forgotten_and_read_again_from_the_committed_offset(lost: bool) -> None:  # noqa: FBT001
    loop, decoder = waiting()
    loop.turn(10_000)
    loop.input.take(0, lost=lost)
    loop.turn(10_001)
    assert None is loop.why_not_ready()
    loop.input.give(0)
    decoder.there = True
    loop.turn(10_002, 10_003, 20_000)
    assert {0: 3, 1: 1} == committed(loop)
    assert [(0, "other", 9.0, 1), (0, "tx1", 5.0, 1), (10_000, "new", 6.0, 1), (10_000, "tx1", 7.0, 1)] == sorted(
        loop.sums()
    )


def test_a_rewind_reads_what_was_held_again() -> None:
    loop, decoder = waiting()
    loop.output.problems["commit"].append(Abortable("no"))
    loop.turn(10_000)
    decoder.there = True
    loop.turn(10_001, 10_002, 20_000)
    assert {0: 3, 1: 1} == committed(loop)
    assert [(10_000, "new", 6.0, 1), (10_000, "other", 9.0, 1), (10_000, "tx1", 12.0, 2)] == sorted(loop.sums())


def test_a_rewind_in_the_turn_that_holds_skips_no_earlier_record() -> None:
    decoder = Registered()
    loop = Loop(partitions=(0, 1), decoder=decoder, clock=ClockName.EVENT, late_policy=LatePolicy.DIVERT, late="late")
    loop.put(pay(1, 5.0), pay(2, 6.0, "new"))
    loop.input.batch = 1
    loop.turn(1, 2)  # the first record is read and not committed, the second is held
    loop.output.problems["commit"].append(Abortable("no"))
    loop.put(pay(1, 9.0, "other"), pay(20_000, 1.0, "other"), partition=1)
    loop.turn(3, 4)  # the other partition closes a window: the commit fails while the record is held
    assert 1 == len(loop.events("rewind"))
    decoder.there = True
    loop.put(pay(20_000, 1.0), partition=0)
    loop.turn(*range(5, 12))
    assert [(0, "new", 6.0, 1), (0, "other", 9.0, 1), (0, "tx1", 5.0, 1)] == sorted(loop.sums())


def test_what_the_same_poll_returned_behind_it_waits_too_and_in_order() -> None:
    decoder = Registered()
    loop = Loop(decoder=decoder)
    loop.put(pay(1, 6.0, "new"), pay(2, 7.0))
    first, _ = loop.kafka.records[0]
    loop.input.news.append(Records(Partition(0), [first]))
    loop.input._positions[Partition(0)] = 1
    loop.turn(1)
    decoder.there = True
    loop.turn(2, 10_000)
    assert [(0, "new", 6.0, 1), (0, "tx1", 7.0, 1)] == sorted(loop.sums())
    assert {0: 2} == committed(loop)
