"""The transactional producer's states, and how it handles the client's errors."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable
from itertools import product
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from service.kafka.classify import classify, kafka_error
from service.kafka.guards.hanging_calls import CALL_TIMEOUT_S
from service.kafka.producer import TxnProducer
from service.kafka.txn_states import TxnState, TxnStep, next_state
from service.loop.errors import Abortable, Fatal, Fenced, KafkaProblem, Replaced, Retriable
from service.wire.records import OutRecord

TIMED_OUT = KafkaError(KafkaError._TIMED_OUT, "slow", fatal=False, retriable=True)
LOADING = KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS, "loading", retriable=True)
MUST_ABORT = KafkaError(KafkaError.UNKNOWN_MEMBER_ID, "who?", txn_requires_abort=True)
FENCED = KafkaError(KafkaError._FENCED, "a newer one", fatal=True)
FATAL = KafkaError(KafkaError._FATAL, "out of order", fatal=True)
WRONG_STATE = KafkaError(KafkaError._STATE, "not now")

OFFSETS = [TopicPartition("transactions", 0, 7, "metadata")]
RECORD = OutRecord("alerts", b"tx1", b"{}", [("a", b"b")])


class FakeProducer:
    """Records the calls, and raises the errors of `raises`."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.raises: dict[str, deque[Exception]] = defaultdict(deque)
        self.hangs: set[str] = set()
        """The next call of this name does not come back until `released`."""
        self.released = threading.Event()
        self.purged = False

    def _call(self, name: str, *args: object) -> None:
        self.calls.append((name, *args))
        if name in self.hangs:
            self.hangs.remove(name)
            self.released.wait()
        if self.raises[name]:
            raise self.raises[name].popleft()

    def init_transactions(self, timeout: float) -> None:
        self._call("init_transactions", timeout)

    def begin_transaction(self) -> None:
        self._call("begin_transaction")

    def send_offsets_to_transaction(self, offsets: list[TopicPartition], metadata: object, timeout: float) -> None:
        self._call("send_offsets_to_transaction", offsets, metadata, timeout)

    def commit_transaction(self, timeout: float) -> None:
        self._call("commit_transaction", timeout)

    def abort_transaction(self, timeout: float) -> None:
        self._call("abort_transaction", timeout)

    def produce(self, topic: str, value: bytes, key: bytes, partition: int, **more: object) -> None:
        self._call("produce", topic, value, key, partition, more)

    def purge(self, *, blocking: bool) -> None:
        self.purged = not blocking

    def poll(self, timeout: float) -> int:
        self._call("poll", timeout)
        return 0


class Driven:
    """A TxnProducer with a fake client; the service stops after ``patience`` questions."""

    def __init__(
        self, patience: int = 100_000, *, initialised: bool = True, txn_timeouts_ms: tuple[int, ...] = (60_000,)
    ) -> None:
        self.producers: list[FakeProducer] = []
        self.patience = patience
        self.undelivered: list[KafkaError] = []
        self.lost: list[str | None] = []
        """What the next looks for lost topics find; after them none is lost."""
        self.throttled: list[bool] = []
        """What the next looks for a throttle find; after them there is none."""
        self.timeouts_ms: list[int] = []
        """Of the txns of each producer."""
        self.txn_producer = TxnProducer(
            self._make,
            self._keep_going,
            self._missing_topic,
            throttled=lambda: bool(self.throttled and self.throttled.pop(0)),
            txn_timeouts_ms=txn_timeouts_ms,
        )
        if initialised:
            self.txn_producer.initialise()
            self.producer.calls.clear()

    def _make(self, undelivered: list[KafkaError], txn_timeout_ms: int) -> Producer:
        self.undelivered = undelivered
        self.timeouts_ms.append(txn_timeout_ms)
        self.producers.append(FakeProducer())
        return cast("Producer", self.producers[-1])

    @property
    def producer(self) -> FakeProducer:
        """The one in use."""
        return self.producers[-1]

    def _keep_going(self) -> bool:
        self.patience -= 1
        return self.patience >= 0

    def _missing_topic(self) -> str | None:
        return self.lost.pop(0) if self.lost else None

    def fail(self, name: str, *errors: KafkaError | BufferError) -> None:
        """Have the next calls of this name raise."""
        self.producer.raises[name] += [
            KafkaException(error) if isinstance(error, KafkaError) else error for error in errors
        ]

    def calls_of(self, number: int) -> list[tuple[Any, ...]]:
        """What one of the producers was asked, without the polls."""
        return [call for call in self.producers[number].calls if call[0] != "poll"]

    def names(self) -> list[str]:
        """What was asked, in order, without the polls."""
        return [name for name, *_ in self.calls_of(-1)]

    def commit(self) -> None:
        """Commit as the loop does."""
        self.txn_producer.commit(OFFSETS, "group")

    def send_and_commit(self) -> None:
        """All of a txn."""
        self.txn_producer.send([RECORD])
        self.commit()


# ---- the table ----------------------------------------------------------------------------------------------

NEW, READY, OPEN, BROKEN = TxnState.NEW, TxnState.READY, TxnState.OPEN, TxnState.BROKEN
EXPECTED: dict[TxnStep, dict[TxnState, TxnState]] = {
    TxnStep.INITIALISED: {NEW: READY},
    TxnStep.BEGUN: {READY: OPEN},
    TxnStep.COMMITTED: {OPEN: READY},
    TxnStep.REPLACED: {NEW: NEW, READY: NEW, OPEN: NEW},
    TxnStep.FAILED: {NEW: BROKEN, READY: BROKEN, OPEN: BROKEN, BROKEN: BROKEN},
}
"""Written here a second time, from Kafka's rules; a step that is not here is illegal."""


@pytest.mark.parametrize(("state", "step"), list(product(TxnState, TxnStep)), ids=lambda one: one.name)
def test_a_legal_step_has_its_state_and_every_other_is_refused(state: TxnState, step: TxnStep) -> None:
    after = EXPECTED[step].get(state)
    if after is None:
        with pytest.raises(RuntimeError, match=f"no {step.name} in state {state.name}"):
            next_state(state, step)
    else:
        assert after is next_state(state, step)


@pytest.mark.parametrize("doing", ["begin", "commit", "send"])
@pytest.mark.parametrize("broken", [False, True], ids=["not initialised", "broken"])
def test_an_illegal_step_raises_and_changes_nothing(doing: str, broken: bool) -> None:  # noqa: FBT001
    driven = Driven(initialised=False)
    if broken:
        driven.fail("init_transactions", FENCED)
        with pytest.raises(Fenced):
            driven.txn_producer.initialise()
        driven.producer.calls.clear()
    does: dict[str, Callable[[], None]] = {
        "begin": driven.txn_producer.begin,
        "commit": driven.commit,
        "send": lambda: driven.txn_producer.send([RECORD]),
    }
    with pytest.raises(RuntimeError):
        does[doing]()
    assert [] == driven.names()
    assert not driven.txn_producer.open


# ---- the straight way ---------------------------------------------------------------------------------------


def test_initialising_asks_once_and_within_a_time() -> None:
    driven = Driven(initialised=False)
    driven.txn_producer.initialise()
    assert [("init_transactions", CALL_TIMEOUT_S)] == driven.producer.calls


def test_the_first_send_begins_a_txn_and_the_second_does_not() -> None:
    driven = Driven()
    driven.txn_producer.send([RECORD])
    driven.txn_producer.send([RECORD])
    assert ["begin_transaction", "produce", "produce"] == driven.names()
    assert driven.txn_producer.open


def test_a_record_is_produced_with_all_it_has_and_the_time_is_left_to_the_client_unless_it_has_one() -> None:
    timed = OutRecord("by-id", b"k", b"v", [], timestamp_ms=1_715_392_800_000)
    driven = Driven()
    driven.txn_producer.send([RECORD, OutRecord("late", None, None), OutRecord("state", b"k", b"v", None, 3), timed])
    assert [
        ("produce", "alerts", b"{}", b"tx1", -1, {"headers": [("a", b"b")]}),
        ("produce", "late", None, None, -1, {}),
        ("produce", "state", b"v", b"k", 3, {}),
        ("produce", "by-id", b"v", b"k", -1, {"headers": [], "timestamp": 1_715_392_800_000}),
    ] == [call for call in driven.producer.calls if call[0] == "produce"]


def test_a_commit_sends_offsets_and_then_commits() -> None:
    driven = Driven()
    driven.txn_producer.send([RECORD])
    driven.commit()
    assert [
        ("send_offsets_to_transaction", OFFSETS, "group", CALL_TIMEOUT_S),
        ("commit_transaction", CALL_TIMEOUT_S),
    ] == driven.producer.calls[-2:]
    assert not driven.txn_producer.open


def test_a_commit_with_nothing_sent_begins_a_txn() -> None:
    driven = Driven()
    driven.commit()
    assert ["begin_transaction", "send_offsets_to_transaction", "commit_transaction"] == driven.names()


def test_after_a_commit_the_next_send_begins_a_txn() -> None:
    driven = Driven()
    driven.commit()
    driven.txn_producer.send([])
    assert "begin_transaction" == driven.names()[-1]


def test_an_abort_without_a_txn_asks_nothing() -> None:
    driven = Driven()
    driven.txn_producer.abort()
    assert [] == driven.names()


def test_after_an_abort_a_new_producer_goes_on() -> None:
    """The old one may give sequence numbers to the next records that the broker knows already."""
    driven = Driven()
    driven.txn_producer.send([RECORD])
    driven.txn_producer.abort()
    assert ["begin_transaction", "produce", "abort_transaction"] == [call[0] for call in driven.calls_of(0)]
    assert (2, False, False) == (len(driven.producers), driven.txn_producer.ready, driven.txn_producer.open)
    driven.txn_producer.initialise()
    driven.txn_producer.send([RECORD])
    assert ["init_transactions", "begin_transaction", "produce"] == driven.names()


def test_polling_serves_callbacks_without_waiting() -> None:
    driven = Driven()
    driven.txn_producer.poll()
    assert [("poll", 0)] == driven.producer.calls


# ---- errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [TIMED_OUT, LOADING])
def test_a_retriable_commit_is_called_again_without_sending_the_offsets_again(error: KafkaError) -> None:
    driven = Driven()
    driven.fail("commit_transaction", error, error)
    driven.commit()
    assert ["send_offsets_to_transaction", *["commit_transaction"] * 3] == driven.names()[1:]
    assert not driven.txn_producer.open


def test_retriable_offsets_are_sent_again() -> None:
    driven = Driven()
    driven.fail("send_offsets_to_transaction", TIMED_OUT)
    driven.commit()
    assert ["send_offsets_to_transaction"] * 2 == driven.names()[1:3]


def test_a_retriable_abort_is_called_again() -> None:
    driven = Driven()
    driven.txn_producer.send([RECORD])
    driven.fail("abort_transaction", TIMED_OUT)
    driven.txn_producer.abort()
    assert [("abort_transaction", CALL_TIMEOUT_S)] * 2 == driven.calls_of(0)[2:]


@pytest.mark.parametrize("call", ["send_offsets_to_transaction", "commit_transaction"])
def test_told_to_stop_a_commit_gives_up_and_the_txn_is_still_open(call: str) -> None:
    driven = Driven(patience=2)
    driven.fail(call, *[TIMED_OUT] * 9)
    with pytest.raises(Retriable, match=call):
        driven.commit()
    assert 3 == driven.names().count(call)
    assert driven.txn_producer.open


def test_initialising_is_tried_once_and_may_be_tried_again() -> None:
    driven = Driven(initialised=False)
    driven.fail("init_transactions", TIMED_OUT)
    with pytest.raises(Retriable):
        driven.txn_producer.initialise()
    driven.txn_producer.initialise()
    driven.txn_producer.send([RECORD])
    assert driven.txn_producer.open


@pytest.mark.parametrize("call", ["send_offsets_to_transaction", "commit_transaction"])
@pytest.mark.parametrize("error", [MUST_ABORT, WRONG_STATE])
def test_what_no_retry_mends_is_abortable_and_the_abort_works(call: str, error: KafkaError) -> None:
    driven = Driven()
    driven.fail(call, error)
    with pytest.raises(Abortable, match=call):
        driven.commit()
    assert driven.txn_producer.open
    driven.txn_producer.abort()
    driven.txn_producer.initialise()
    driven.commit()
    assert not driven.txn_producer.open


@pytest.mark.parametrize("call", ["begin_transaction", "produce", "send_offsets_to_transaction", "commit_transaction"])
@pytest.mark.parametrize(("error", "problem"), [(FENCED, Fenced), (FATAL, Fatal)])
def test_after_a_fatal_error_nothing_more_is_asked_of_it(
    call: str, error: KafkaError, problem: type[KafkaProblem]
) -> None:
    driven = Driven()
    driven.fail(call, error)
    with pytest.raises(problem):
        driven.send_and_commit()
    assert not driven.txn_producer.open
    asked = driven.names()
    driven.txn_producer.abort()
    assert asked == driven.names()


@pytest.mark.parametrize("how", ["poll", "send", "full"])
def test_a_fatal_producer_says_so_when_callbacks_are_served(how: str) -> None:
    """As the client does where produce requests were refused in the background."""
    driven = Driven()
    driven.txn_producer.begin()
    if how == "full":
        driven.fail("produce", BufferError())
    driven.fail("poll", FENCED)
    with pytest.raises(Fenced, match="a newer one"):
        driven.txn_producer.poll() if how == "poll" else driven.txn_producer.send([RECORD])
    assert not driven.txn_producer.open


FORBIDDEN = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "not you", txn_requires_abort=True)


@pytest.mark.parametrize(
    ("code", "cause", "problem"),
    [
        (KafkaError._FATAL, FENCED, Fenced),
        (KafkaError._STATE, FORBIDDEN, Fatal),
        (KafkaError._STATE, KafkaError(KafkaError._TIMED_OUT, "slow", txn_requires_abort=True), Abortable),
    ],
)
def test_what_produce_does_not_say_is_asked_for(code: int, cause: KafkaError, problem: type[KafkaProblem]) -> None:
    driven = Driven()
    driven.txn_producer.begin()
    driven.fail("produce", KafkaError(code, "Local: it just does not"))
    driven.fail("begin_transaction", cause)
    with pytest.raises(problem, match=f"produce to alerts: .*{cause.str()}"):
        driven.txn_producer.send([RECORD])


@pytest.mark.parametrize("answers", [(), (WRONG_STATE,)])
def test_where_no_cause_is_known_it_says_what_produce_says(answers: tuple[KafkaError, ...]) -> None:
    driven = Driven()
    driven.txn_producer.begin()
    driven.fail("produce", KafkaError(KafkaError._STATE, "Local: it just does not"))
    driven.fail("begin_transaction", *answers)
    with pytest.raises(Abortable, match="produce to alerts: Local: it just does not"):
        driven.txn_producer.send([RECORD])


NO_TXN = KafkaError(KafkaError.INVALID_TXN_STATE, "what txn?", fatal=True)
DESYNCHRONISED = KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "what txn was that of?", fatal=True)


@pytest.mark.parametrize("error", [NO_TXN, DESYNCHRONISED])
@pytest.mark.parametrize("call", ["send_offsets_to_transaction", "commit_transaction", "produce", "poll"])
def test_where_client_and_broker_do_not_agree_on_what_was_done_a_new_producer_takes_over(
    call: str, error: KafkaError
) -> None:
    """Seen after a broker was killed in the middle of a commit; the committed offsets tell what came of it."""
    driven = Driven()
    driven.fail(call, error)
    with pytest.raises(Replaced, match="what txn"):
        driven.send_and_commit()
    assert (2, False, False) == (len(driven.producers), driven.txn_producer.ready, driven.txn_producer.open)
    driven.txn_producer.abort()
    driven.txn_producer.initialise()
    driven.send_and_commit()


@pytest.mark.parametrize("error", [WRONG_STATE, NO_TXN, DESYNCHRONISED])
def test_an_abort_that_is_refused_is_left_to_a_new_producer(error: KafkaError) -> None:
    driven = Driven()
    driven.txn_producer.send([RECORD])
    driven.fail("abort_transaction", error)
    driven.txn_producer.abort()
    assert (2, False, False) == (len(driven.producers), driven.txn_producer.ready, driven.txn_producer.open)
    driven.txn_producer.initialise()
    driven.commit()
    assert ["init_transactions", "begin_transaction", "send_offsets_to_transaction", "commit_transaction"] == (
        driven.names()
    )


def test_a_fatal_producer_is_not_replaced_any_more() -> None:
    driven = Driven()
    driven.fail("begin_transaction", FENCED)
    with pytest.raises(Fenced):
        driven.send_and_commit()
    driven.fail("poll", NO_TXN)
    with pytest.raises(Fatal, match="what txn"):
        driven.txn_producer.poll()
    assert 1 == len(driven.producers)


@pytest.mark.parametrize(("error", "problem"), [(FENCED, Fenced), (FATAL, Fatal)])
def test_an_abort_by_a_producer_that_is_of_no_more_use_is_fatal(error: KafkaError, problem: type[KafkaProblem]) -> None:
    driven = Driven()
    driven.txn_producer.send([RECORD])
    driven.fail("abort_transaction", error)
    with pytest.raises(problem):
        driven.txn_producer.abort()


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "a topic is missing"),
        (KafkaError.MSG_SIZE_TOO_LARGE, "a topic never accepts these records"),
        (KafkaError.INVALID_RECORD, "a topic never accepts these records"),
        (KafkaError.INVALID_TIMESTAMP, "a topic never accepts these records"),
    ],
)
def test_what_a_topic_refuses_three_times_in_a_row_is_fatal(code: int, why: str) -> None:
    """The record may not be lost, and attempts without end would look healthy."""
    driven = Driven()
    refused = KafkaError(code, "refused", txn_requires_abort=True)

    def refuse() -> None:
        driven.fail("commit_transaction", refused)
        driven.send_and_commit()

    for _ in range(2):
        with pytest.raises(Abortable):
            refuse()
        driven.txn_producer.abort()
        driven.txn_producer.initialise()
    driven.send_and_commit()  # in time: the count begins again
    for _ in range(2):
        with pytest.raises(Abortable):
            refuse()
        driven.txn_producer.abort()
        driven.txn_producer.initialise()
    with pytest.raises(Fatal, match=why):
        refuse()


INCONSISTENT = KafkaError(KafkaError._INCONSISTENT, "see individual delivery reports", txn_requires_abort=True)


@pytest.mark.parametrize(
    ("cause", "problem", "text"),
    [
        (KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "not you"), Fatal, "not you"),
        (KafkaError(KafkaError._MSG_TIMED_OUT, "slow"), Abortable, "slow"),
        (KafkaError(KafkaError.NOT_ENOUGH_REPLICAS, "few", retriable=True), Abortable, "few"),
    ],
)
def test_a_commit_whose_records_are_not_delivered_says_why(
    cause: KafkaError, problem: type[KafkaProblem], text: str
) -> None:
    driven = Driven()
    driven.txn_producer.send([RECORD])
    driven.undelivered += [cause, FATAL]
    driven.fail("commit_transaction", INCONSISTENT)
    with pytest.raises(problem, match=f"commit_transaction: .*{text}"):
        driven.commit()


def test_what_was_not_delivered_in_an_earlier_txn_is_no_cause() -> None:
    driven = Driven()
    driven.undelivered.append(FATAL)
    driven.txn_producer.send([RECORD])
    driven.fail("commit_transaction", INCONSISTENT)
    with pytest.raises(Abortable, match="see individual"):
        driven.commit()


def test_what_a_producer_that_was_left_behind_reports_is_no_cause() -> None:
    driven = Driven()
    driven.txn_producer.begin()
    old = driven.undelivered
    driven.txn_producer.abort()
    driven.txn_producer.initialise()
    driven.txn_producer.send([RECORD])
    old.append(FENCED)
    driven.fail("commit_transaction", INCONSISTENT)
    with pytest.raises(Abortable, match="see individual"):
        driven.commit()


# ---- waiting for a topic that is gone -----------------------------------------------------------------------


@pytest.fixture
def _looks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.kafka.guards.missing_topics.EVERY_S", 0.0)


@pytest.mark.usefixtures("_looks_each_time")
def test_a_commit_that_waits_for_a_topic_that_is_gone_is_fatal() -> None:
    driven = Driven()
    driven.fail("commit_transaction", *[TIMED_OUT] * 100)
    driven.lost = ["late", "late", None, "late", "late", "late"]
    with pytest.raises(Fatal, match=r"look for topic late: .*a topic is missing"):
        driven.send_and_commit()
    assert 6 == driven.names().count("commit_transaction")
    driven.txn_producer.abort()
    assert "abort_transaction" not in driven.names()


@pytest.mark.usefixtures("_looks_each_time")
def test_a_queue_that_stays_full_for_a_topic_that_is_gone_is_fatal() -> None:
    driven = Driven()
    driven.fail("produce", *[BufferError()] * 100)
    driven.lost = ["late"] * 3
    with pytest.raises(Fatal, match=r"look for topic late: .*a topic is missing"):
        driven.send_and_commit()
    assert 3 == driven.names().count("produce")


def test_no_topic_is_looked_for_while_no_call_waits_for_long() -> None:
    driven = Driven()
    driven.lost = ["late"] * 3
    driven.fail("produce", *[BufferError()] * 5)
    driven.fail("commit_transaction", *[TIMED_OUT] * 5)
    driven.send_and_commit()
    assert 3 == len(driven.lost)


def test_an_initialisation_that_cannot_be_done_is_fatal() -> None:
    driven = Driven(initialised=False)
    driven.fail("init_transactions", KafkaError(KafkaError.UNKNOWN, "broken"))
    with pytest.raises(Fatal):
        driven.txn_producer.initialise()


def test_a_full_queue_is_waited_for() -> None:
    driven = Driven()
    driven.fail("produce", BufferError(), BufferError())
    driven.txn_producer.send([RECORD])
    assert 3 == driven.names().count("produce")
    assert 2 == driven.producer.calls.count(("poll", 0.01))


def test_told_to_stop_a_full_queue_is_not_waited_for() -> None:
    driven = Driven(patience=1)
    driven.fail("produce", *[BufferError()] * 9)
    with pytest.raises(Retriable, match="queue was full"):
        driven.txn_producer.send([RECORD])
    assert 2 == driven.names().count("produce")


def test_a_record_that_the_client_refuses_names_its_topic() -> None:
    driven = Driven()
    driven.fail("produce", KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, "too large"))
    with pytest.raises(Abortable, match="produce to alerts: too large"):
        driven.txn_producer.send([RECORD])


# ---- sorting ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (TIMED_OUT, Retriable),
        (KafkaError(KafkaError._TIMED_OUT), Retriable),
        (KafkaError(KafkaError._TRANSPORT), Retriable),
        (LOADING, Retriable),
        (MUST_ABORT, Abortable),
        (KafkaError(KafkaError._TIMED_OUT, "x", txn_requires_abort=True), Abortable),
        (KafkaError(KafkaError.COORDINATOR_NOT_AVAILABLE, "x", retriable=True, txn_requires_abort=True), Abortable),
        (WRONG_STATE, Abortable),
        (FENCED, Fenced),
        (KafkaError(KafkaError.PRODUCER_FENCED, "x", txn_requires_abort=True), Fenced),
        (KafkaError(KafkaError.INVALID_PRODUCER_EPOCH), Fenced),
        (FATAL, Fatal),
        (KafkaError(KafkaError._STATE, "x", fatal=True, retriable=True), Fatal),
        (KafkaError(KafkaError._FATAL, "as the consumer's messages bring it"), Fatal),
        (KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "x", txn_requires_abort=True), Fatal),
        (KafkaError(KafkaError._AUTHENTICATION), Fatal),
        (KafkaError(KafkaError.INVALID_TRANSACTION_TIMEOUT), Fatal),
    ],
    ids=lambda one: one.name() if isinstance(one, KafkaError) else one.__name__,
)
def test_an_error_is_sorted_by_what_is_to_be_done(error: KafkaError, problem: type[KafkaProblem]) -> None:
    assert problem is type(classify(error, "commit"))


@pytest.mark.parametrize(
    ("code", "problem"), [(KafkaError.GROUP_AUTHORIZATION_FAILED, Fatal), (KafkaError.INVALID_PRODUCER_EPOCH, Fenced)]
)
def test_the_cause_behind_the_clients_own_code_is_found_in_its_words(code: int, problem: type[Fatal]) -> None:
    error = KafkaError(KafkaError._FATAL, f"Fatal error: {KafkaError(code).str()}: and so on")
    found = classify(error, "consume")
    assert isinstance(found, problem)
    assert code == found.code


def test_the_text_says_what_was_being_done_and_what_went_wrong() -> None:
    assert "commit: slow (_TIMED_OUT)" == str(classify(TIMED_OUT, "commit"))


def test_the_tree_of_problems_is_as_it_is_drawn() -> None:
    assert [KafkaProblem] * 3 == [kind.__base__ for kind in (Retriable, Abortable, Fatal)]
    assert Fatal is Fenced.__base__


def test_an_exception_that_is_not_the_clients_is_not_taken_for_one() -> None:
    with pytest.raises(TypeError):
        kafka_error(KafkaException("text"))


# ---- a call that does not return ------------------------------------------------------------------------------


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours of waiting in a tenth of a second."""
    monkeypatch.setattr("service.kafka.guards.hanging_calls.CALL_TIMEOUT_S", 0.02)
    monkeypatch.setattr("service.kafka.guards.hanging_calls.LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("service.kafka.guards.hanging_calls.HANG_S", 0.06)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("name", ["begin_transaction", "send_offsets_to_transaction", "commit_transaction"])
def test_a_producer_that_hangs_is_replaced_and_the_new_one_initialised_before_anything_else(name: str) -> None:
    driven = Driven()
    old = driven.producer
    old.hangs.add(name)
    with pytest.raises(Replaced, match=f"{name}: the client's call did not return in .*; a new producer takes over"):
        driven.send_and_commit()
    assert (2, False, False) == (len(driven.producers), driven.txn_producer.ready, driven.txn_producer.open)
    driven.txn_producer.abort()
    driven.txn_producer.initialise()
    driven.send_and_commit()
    assert [
        "init_transactions", "begin_transaction", "produce", "send_offsets_to_transaction", "commit_transaction",
    ] == driven.names()  # fmt: skip
    old.released.set()
    assert name == driven.calls_of(0)[-1][0]
    assert old.purged


def let_it_go(producer: FakeProducer, after_s: float) -> None:
    """Have a call that hangs come back."""
    threading.Timer(after_s, producer.released.set).start()


@pytest.mark.usefixtures("_impatient")
def test_a_call_that_a_broker_throttles_does_not_hang() -> None:
    driven = Driven()
    driven.throttled = [True] * 20
    driven.producer.hangs.add("send_offsets_to_transaction")
    let_it_go(driven.producer, 0.15)
    driven.send_and_commit()
    assert 1 == len(driven.producers)
    assert ("poll", 0) in driven.producer.calls, "or nothing is heard of it"


@pytest.mark.usefixtures("_impatient")
def test_a_call_that_is_still_away_when_the_throttle_is_over_hangs() -> None:
    driven = Driven()
    driven.throttled = [True] * 5
    driven.producer.hangs.add("send_offsets_to_transaction")
    with pytest.raises(Replaced, match="did not return"):
        driven.send_and_commit()
    assert [] == driven.throttled
    driven.producers[0].released.set()


@pytest.mark.usefixtures("_impatient")
def test_after_a_hang_the_next_call_is_waited_for_longer() -> None:
    driven = Driven()
    for number in range(2):
        driven.producer.hangs.add("send_offsets_to_transaction")
        if number:
            let_it_go(driven.producer, 0.12)
            driven.send_and_commit()
        else:
            with pytest.raises(Replaced):
                driven.send_and_commit()
            driven.txn_producer.initialise()
    assert 2 == len(driven.producers)
    driven.producers[0].released.set()


@pytest.mark.usefixtures("_impatient")
def test_a_fenced_producer_says_so_while_a_call_is_waited_for() -> None:
    driven = Driven()
    driven.producer.hangs.add("send_offsets_to_transaction")
    driven.txn_producer.send([RECORD])
    driven.fail("poll", FENCED)
    with pytest.raises(Fenced, match="a newer one"):
        driven.commit()
    driven.producer.released.set()


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("slow", ["produce", "send_offsets_to_transaction", "commit_transaction"])
def test_a_txn_that_takes_longer_than_its_timeout_is_given_up_and_the_next_one_gets_more_time(slow: str) -> None:
    """Else the broker aborts it, and the client says that it was fenced."""
    driven = Driven(txn_timeouts_ms=(5_050, 900_000))
    driven.throttled = [True] * 1_000
    if slow == "send_offsets_to_transaction":
        driven.producer.hangs.add(slow)
    else:
        driven.fail(slow, *[BufferError() if slow == "produce" else TIMED_OUT] * 100_000)
    with pytest.raises(Replaced, match=f"{slow}.*: the txn takes longer than its timeout of 5 s"):
        driven.send_and_commit()
    assert [5_050, 900_000] == driven.timeouts_ms
    assert (False, False) == (driven.txn_producer.ready, driven.txn_producer.open)
    driven.txn_producer.initialise()
    driven.send_and_commit()
    driven.producers[0].released.set()


def test_where_the_brokers_do_not_allow_the_longer_timeout_the_usual_one_is_kept() -> None:
    driven = Driven(txn_timeouts_ms=(5_000, 900_000))
    driven.fail("commit_transaction", TIMED_OUT)
    with pytest.raises(Replaced, match="the next one may take 900 s"):
        driven.send_and_commit()
    refused = KafkaError(KafkaError.INVALID_TRANSACTION_TIMEOUT, "too long", fatal=True)
    driven.fail("init_transactions", refused)
    with pytest.raises(Retriable, match="too long"):
        driven.txn_producer.initialise()
    driven.txn_producer.initialise()
    assert [5_000, 900_000, 5_000] == driven.timeouts_ms
    driven.txn_producer.begin()


@pytest.mark.usefixtures("_impatient")
def test_an_abort_that_hangs_is_left_to_the_new_producer() -> None:
    driven = Driven()
    driven.txn_producer.send([RECORD])
    driven.producer.hangs.add("abort_transaction")
    driven.producer.released.clear()
    driven.txn_producer.abort()
    assert (2, False, False) == (len(driven.producers), driven.txn_producer.ready, driven.txn_producer.open)
    driven.producers[0].released.set()


@pytest.mark.usefixtures("_impatient")
def test_an_initialisation_that_hangs_is_tried_again_with_a_new_producer() -> None:
    driven = Driven(initialised=False)
    driven.producer.hangs.add("init_transactions")
    with pytest.raises(Retriable):
        driven.txn_producer.initialise()
    driven.txn_producer.initialise()
    assert driven.txn_producer.ready
    driven.producers[0].released.set()


@pytest.mark.usefixtures("_impatient")
def test_told_to_stop_it_does_not_wait_for_a_client_that_hangs() -> None:
    driven = Driven(patience=0)
    driven.producer.hangs.add("commit_transaction")
    with pytest.raises(Retriable, match="stopped before"):
        driven.send_and_commit()
    assert (1, False) == (len(driven.producers), driven.txn_producer.open)
    driven.producer.released.set()
