"""One Kafka transaction per checkpoint: what was found and how far was read, both or neither."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from service.kafka.classify import classify, kafka_error
from service.kafka.guards.hanging_calls import CALL_TIMEOUT_S, Hung, Stopped, call
from service.kafka.guards.missing_topics import MissingTopicWatch
from service.kafka.guards.txn_failure import cause_of
from service.kafka.guards.txn_time import TxnTime
from service.kafka.txn_states import TxnState, TxnStep, next_state
from service.loop.errors import Abortable, Fatal, KafkaProblem, Replaced, Retriable
from service.wire.records import OutRecord

REFUSED_LIMIT: Final = 3
"""Brokers may not know a topic for a moment, or its new settings; what is refused so often in a row is refused."""
_OUT_OF_STEP: Final = frozenset({KafkaError.INVALID_TXN_STATE, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER})
"""Client and broker do not agree on what was done, after a broker has died. As librdkafka sees it that is fatal to this
producer; but whatever became of the txn, the committed offsets tell.
"""
_GONE: Final = "a topic is gone, and the next start may make it anew"
_NOT_TAKEN: Final = "a topic does not take what is due there, whatever is tried: look at its settings, and start again"
_REFUSED: Final = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: _GONE,
    KafkaError._UNKNOWN_TOPIC: _GONE,  # noqa: SLF001
    **dict.fromkeys(
        (
            KafkaError.MSG_SIZE_TOO_LARGE,
            KafkaError.RECORD_LIST_TOO_LARGE,
            KafkaError.INVALID_RECORD,
            KafkaError.INVALID_TIMESTAMP,
            KafkaError.POLICY_VIOLATION,
            KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
        ),
        _NOT_TAKEN,
    ),
}


class TxnProducer:
    """The transactional producer.

    ``keep_going`` is asked between the attempts of a blocking call; when it says no, the call gives up with
    Retriable, and what it was about has not been committed as far as anyone knows.

    librdkafka's send_offsets_to_transaction() may ignore its timeout and, after a broker's restart, never come back
    (librdkafka#5456, #5511). So every step of a txn is made on a thread of its own. The producer that hangs in one is
    left behind, and a new one of the same transactional.id takes its place: initialise() fences the old one and aborts
    its txn, whatever became of the call.

    A call that a quota holds up looks the same. So time in which a broker throttles does not count, each hang in a row
    makes the next call's patience longer, and a txn that exceeds its timeout gives the next one more time.
    """

    def __init__(
        self,
        make_producer: Callable[[list[KafkaError], int], Producer],
        keep_going: Callable[[], bool],
        missing_topic: Callable[[], str | None],
        *,
        throttled: Callable[[], bool] = lambda: False,
        txn_timeouts_ms: tuple[int, ...] = (60_000,),
    ) -> None:
        """``make_producer`` makes one that has a transactional.id, the same each time.

        It is given the list where that one's delivery callback puts why records fail, and its transaction.timeout.ms.
        ``missing_topic`` is asked where something takes long: a topic that is sent to and is gone, if there is one.
        ``throttled`` says whether a broker throttles the producer, as far as poll() has heard.
        ``txn_timeouts_ms`` are the usual timeout, and longer ones to use after a txn that exceeded its own.
        """
        self._make_producer = make_producer
        self._missing_topic = missing_topic
        self._throttled = throttled
        self._time = TxnTime(txn_timeouts_ms, time.monotonic)
        self._undelivered: list[KafkaError] = []
        """Of this producer and txn: one that was left behind may go on to report."""
        self._producer = make_producer(self._undelivered, self._time.timeout_ms)
        self._keep_going = keep_going
        self._state = TxnState.NEW
        self._refused = 0
        """Calls since the last commit that failed because a topic refuses what is sent."""

    @property
    def ready(self) -> bool:
        """Whether txns can begin; initialise() is due otherwise."""
        return self._state is not TxnState.NEW

    @property
    def open(self) -> bool:
        """Whether a txn is open."""
        return self._state is TxnState.OPEN

    def initialise(self, timeout_s: float = CALL_TIMEOUT_S) -> None:
        """Fence older producers of this name and abort what they left open; one attempt.

        Raises:
            Retriable, Fatal: see errors.
        """
        try:
            self._call("init_transactions", self._producer.init_transactions, timeout_s)
        except Replaced as problem:
            raise Retriable(str(problem)) from problem
        except Abortable as problem:  # there is nothing to abort
            self._step(TxnStep.FAILED)
            raise Fatal(str(problem)) from problem
        self._step(TxnStep.INITIALISED)

    def send(self, records: Iterable[OutRecord]) -> None:
        """Produce records in the txn, which is begun if there is none.

        Raises:
            Abortable, Fatal, Retriable: see errors.
        """
        self.begin()
        for record in records:
            self._produce(record)
        self.poll()

    def begin(self) -> None:
        """Begin a txn if none is open."""
        if self._state is not TxnState.OPEN:
            begun = next_state(self._state, TxnStep.BEGUN)
            self._undelivered.clear()
            self._time.begin()
            self._call("begin_transaction", self._producer.begin_transaction)
            self._state = begun

    def commit(self, offsets: list[TopicPartition], group_metadata: Any) -> None:  # noqa: ANN401 - opaque in the client
        """Commit what was sent together with the offsets.

        1. Begin a txn if nothing has been sent.
        2. Add the offsets, for the group as it is now: a zombie is told here that it is one.
        3. Commit.

        Raises:
            Abortable: abort() is due.
            Fatal: the producer is of no more use.
            Retriable: told to give up.
        """
        self.begin()
        self._until_done(
            "send_offsets_to_transaction",
            self._producer.send_offsets_to_transaction,
            offsets,
            group_metadata,
            CALL_TIMEOUT_S,
        )
        self._until_done("commit_transaction", self._producer.commit_transaction, CALL_TIMEOUT_S)
        self._step(TxnStep.COMMITTED)
        self._time.committed()
        self._refused = 0

    def abort(self) -> None:
        """Abort the open txn, if there is one; a new producer goes on, and initialise() is due.

        librdkafka 2.16 forgets records without an answer when a txn fails or is aborted, and gives their sequence
        numbers to the next ones. A broker that has the former takes the latter for the same, says that it has them, and
        writes nothing. A new producer has an epoch of its own. It also ends a txn whose abort is refused: after a
        broker's death in the middle of a commit, client and broker may not agree on what is open (INVALID_TXN_STATE).

        Raises:
            Fatal: the producer is of no more use.
            Retriable: told to give up.
        """
        if self._state is not TxnState.OPEN:
            return
        try:
            self._until_done("abort_transaction", self._producer.abort_transaction, CALL_TIMEOUT_S)
        except Replaced:
            return
        except Abortable:
            pass
        self._replace()

    def poll(self, timeout_s: float = 0.0) -> None:
        """Serve the client's callbacks. A producer that is done for, as one that was fenced, may say so here.

        Raises:
            Abortable, Fatal: see errors.
        """
        try:
            self._producer.poll(timeout_s)
        except KafkaException as exception:
            raise self._sorted(exception, "Kafka client") from exception

    def _replace(self) -> None:
        self._producer.purge(blocking=False)  # one that hangs would go on sending, and a quota counts that
        self._undelivered = []
        self._producer = self._make_producer(self._undelivered, self._time.timeout_ms)
        self._step(TxnStep.REPLACED)

    def _produce(self, record: OutRecord) -> None:
        watch = None
        while True:
            try:
                self._producer.produce(record.topic, record.value, record.key, headers=record.headers)
            except BufferError:
                if not self._keep_going():
                    raise Retriable("produce: told to stop while the local queue was full") from None
                self.poll(0.1)
                self._give_up_in_time(f"produce to {record.topic}")
                watch = watch or self._watch_topics()
                self._look(watch)
            except KafkaException as exception:
                raise self._sorted(exception, f"produce to {record.topic}") from exception
            else:
                return

    def _until_done(self, doing: str, function: Callable[..., Any], *args: Any) -> None:  # noqa: ANN401
        watch = self._watch_topics()
        while True:
            try:
                self._call(doing, function, *args)
            except Retriable:
                if not self._keep_going():
                    raise
                self._give_up_in_time(doing)
                self._look(watch)
            else:
                return

    def _give_up_in_time(self, doing: str) -> None:
        if self._state is TxnState.OPEN and (why := self._time.exceeded()):
            self._replace()
            raise Replaced(f"{doing}: {why}")

    def _held_up(self, doing: str) -> bool:
        """Whether a broker throttles; callbacks are served, for they are how the client says it."""
        self.poll()
        self._give_up_in_time(doing)
        return self._throttled()

    def _watch_topics(self) -> MissingTopicWatch:
        return MissingTopicWatch(self._missing_topic, time.monotonic)

    def _look(self, watch: MissingTopicWatch) -> None:
        """Give up where all waiting is in vain."""
        if topic := watch.look():
            self._step(TxnStep.FAILED)
            raise Fatal(f"look for topic {topic}: Unknown topic; {_GONE}", KafkaError.UNKNOWN_TOPIC_OR_PART)

    def _call(self, doing: str, function: Callable[..., Any], *args: Any) -> None:  # noqa: ANN401
        try:
            call(
                doing,
                function,
                *args,
                keep_going=self._keep_going,
                throttled=partial(self._held_up, doing),
                hang_s=self._time.hang_s,
            )
        except KafkaException as exception:
            raise self._sorted(exception, doing) from exception.with_traceback(None)
        except Stopped as stopped:
            self._step(TxnStep.FAILED)
            raise Retriable(str(stopped)) from None
        except Hung as hung:
            self._time.hung()
            self._replace()
            raise Replaced(f"{hung}, a new one takes its place") from None

    def _sorted(self, exception: KafkaException, doing: str) -> KafkaProblem:
        reported = kafka_error(exception)
        error = cause_of(reported, self._producer, self._undelivered)
        problem = classify(error, doing)
        if error is not reported and isinstance(problem, Retriable):  # its cause may pass, but the call has failed
            problem = Abortable(str(problem))
        if error.code() in _OUT_OF_STEP and self._state is not TxnState.BROKEN:
            self._replace()
            return Replaced(f"{problem}; a new producer takes its place")
        if error.code() == KafkaError.INVALID_TRANSACTION_TIMEOUT and self._time.too_long():
            self._replace()
            return Replaced(f"{problem}; the usual timeout takes its place")
        if error.code() in _REFUSED:
            self._refused += 1
            if self._refused >= REFUSED_LIMIT:
                problem = Fatal(f"{problem}; {_REFUSED[error.code()]}", error.code())
        if isinstance(problem, Fatal):
            self._step(TxnStep.FAILED)
        return problem

    def _step(self, step: TxnStep) -> None:
        self._state = next_state(self._state, step)
