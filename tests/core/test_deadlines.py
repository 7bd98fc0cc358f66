"""Deadlines come up when they are true, whatever was aborted and however early their entries are."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.core.memory.deadlines import Deadlines

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("event"), st.sampled_from("abc"), st.integers(1, 9)),
        st.tuples(st.sampled_from(("commit", "abort", "refresh")), st.just(""), st.integers(1, 9)),
    ),
    max_size=30,
)


@given(STEPS)
def test_a_key_comes_up_at_its_true_deadline_and_never_before(steps: list[tuple[str, str, int]]) -> None:
    deadlines, true, now = Deadlines(), dict[str, int](), 0
    for what, key, number in steps:
        if what == "event":
            fresh = key not in true
            true[key] = max(true.get(key, 0), now + number)
            if fresh:
                deadlines.add(true[key], key)
                deadlines.committed()
        elif what == "refresh":
            deadlines.refresh(now + number, 2, true.get)
        else:
            now += number if what == "commit" else 0
            up = deadlines.take(now)
            due = [one for one in up if true[one] <= now]
            for one in up:
                if one not in due:
                    deadlines.add(true[one], one)
            assert sorted(one for one, at in true.items() if at <= now) == sorted(due)
            if what == "abort":
                deadlines.dropped()
            else:
                deadlines.committed()
                for one in due:
                    del true[one]


def test_a_refresh_looks_at_no_more_keys_than_it_may() -> None:
    deadlines, looked_at = Deadlines(), list[str]()

    def deadline(key: str) -> int:
        looked_at.append(key)
        return 100

    deadlines.restore([(1, key) for key in "abcdef"])
    deadlines.refresh(50, 4, deadline)
    assert 4 == len(looked_at)
    assert ["e", "f"] == deadlines.take(50)


def test_one_true_deadline_does_not_keep_the_others_from_being_refreshed() -> None:
    deadlines = Deadlines()
    deadlines.restore([(1, "a"), (2, "b"), (3, "c")])
    deadlines.refresh(50, 10, {"a": 1, "b": 100, "c": 100}.get)
    assert ["a"] == deadlines.take(50)


def test_true_deadlines_are_looked_at_once_so_that_those_behind_them_are_refreshed() -> None:
    deadlines = Deadlines()
    deadlines.restore([(1, key) for key in "abcd"] + [(2, key) for key in "efgh"])
    true = dict.fromkeys("abcd", 1) | dict.fromkeys("efgh", 100)
    for _ in range(2):
        deadlines.refresh(50, 4, true.get)
    assert ["a", "b", "c", "d"] == deadlines.take(50)
    deadlines.dropped()
    assert ["a", "b", "c", "d"] == deadlines.take(50)
    deadlines.committed()
    assert [] == deadlines.take(50)


def test_a_key_is_due_at_its_true_deadline_and_one_without_a_deadline_is_removed() -> None:
    deadlines = Deadlines()
    deadlines.restore([(1, "gone"), (2, "later"), (3, "due")])
    true = {"later": 100, "due": 3}
    assert not deadlines.is_due(2, 10, true.get)
    assert deadlines.is_due(3, 10, true.get)
    assert ["due"] == deadlines.take(3)


def test_a_look_for_what_is_due_ends_after_so_many_keys() -> None:
    deadlines = Deadlines()
    deadlines.restore([(1, "a"), (1, "b"), (1, "c")])
    assert not deadlines.is_due(5, 2, {"a": 9, "b": 9, "c": 1}.get)
    assert deadlines.is_due(5, 2, {"a": 9, "b": 9, "c": 1}.get)
