"""How long a txn and its calls may take, by a hand-moved clock."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from service.kafka.guards.txn_time import TxnTime

USUAL_MS, LONGEST_MS = 70_000, 900_000


class Timed:
    """The time of txns, with a clock that does not move."""

    def __init__(self, *timeouts_ms: int) -> None:
        self.now_s = 1_000.0
        self.time = TxnTime(timeouts_ms or (USUAL_MS, LONGEST_MS), lambda: self.now_s)
        self.time.begin()


def test_patience_grows_with_each_hang_in_a_row_up_to_the_txns_timeout() -> None:
    timed = Timed()
    patience = []
    for _ in range(5):
        patience.append(timed.time.hang_s)
        timed.time.hung()
    assert [3, 12, 48, 70, 70] == patience


def test_after_a_commit_a_hang_is_the_first_one() -> None:
    timed = Timed()
    timed.time.hung()
    timed.time.committed()
    assert 3 == timed.time.hang_s


def test_a_txn_is_given_up_in_the_last_seconds_of_its_timeout_and_the_next_one_gets_longer() -> None:
    timed = Timed()
    timed.now_s += 64.9
    assert timed.time.exceeded() is None
    timed.now_s += 0.1
    assert "the txn takes longer than its timeout of 70 s, the next one may take 900 s" == timed.time.exceeded()
    assert LONGEST_MS == timed.time.timeout_ms
    assert timed.time.exceeded() is None


def test_a_txn_that_the_broker_has_timed_out_already_is_not_given_up() -> None:
    """The process may have been stopped meanwhile, and a newer instance may have its name."""
    timed = Timed()
    timed.now_s += 70
    assert timed.time.exceeded() is None
    assert USUAL_MS == timed.time.timeout_ms


def test_a_txn_that_does_not_fit_into_the_longest_timeout_says_so_each_time() -> None:
    timed = Timed(LONGEST_MS)
    for _ in range(2):
        timed.time.begin()
        timed.now_s += 896
        assert (timed.time.exceeded() or "").endswith("a quota, are too slow for what one txn holds")
    assert LONGEST_MS == timed.time.timeout_ms


def test_a_timeout_that_brokers_do_not_allow_is_not_tried_again() -> None:
    timed = Timed()
    assert not timed.time.too_long()
    timed = Timed()
    timed.now_s += 66
    timed.time.exceeded()
    assert timed.time.too_long()
    assert USUAL_MS == timed.time.timeout_ms
    timed.time.begin()
    timed.now_s += 66
    assert "longer than its timeout of 70 s: the brokers" in (timed.time.exceeded() or "")
    assert USUAL_MS == timed.time.timeout_ms
