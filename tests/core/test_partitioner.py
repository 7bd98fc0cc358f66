"""Kafka's default partitioner, by the values that Kafka's own tests hold (UtilsTest.testMurmur2)."""

from __future__ import annotations

import pytest

from service.core.partitioner import has_moved, murmur2, partition_of


@pytest.mark.parametrize(
    ("data", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_kafkas(data: bytes, signed: int) -> None:
    assert signed % 2**32 == murmur2(data)


def test_a_key_moves_if_the_partitioner_had_placed_it_there_and_places_it_elsewhere_now() -> None:
    before, now = partition_of(b"foobar", 4), partition_of(b"foobar", 7)
    assert before != now
    assert has_moved(b"foobar", before, 4, 7)
    assert not has_moved(b"foobar", (before + 1) % 4, 4, 7)  # another partitioner had placed it there
    assert not has_moved(b"foobar", before, 4, 4)
