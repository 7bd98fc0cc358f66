"""One Kafka txn for each checkpoint: it holds outputs and offsets, and Kafka keeps both or neither."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from service.kafka.classify import classify, kafka_error
from service.kafka.guards.hanging_calls import CALL_TIMEOUT_S, Hung, Stopped, call
from service.kafka.guards.missing_topics import MissingTopicWatch
from service.kafka.guards.out_of_step import is_out_of_step
from service.kafka.guards.refused_records import MISSING, Refusals
from service.kafka.guards.txn_failure import cause_of
from service.kafka.guards.txn_time import TxnTime
from service.kafka.txn_states import TxnState, TxnStep, next_state
from service.loop.errors import Abortable, Fatal, KafkaProblem, Replaced, Retriable
from service.wire.records import OutRecord

FULL_S: Final = 0.01
"""The wait while the local queue is full. The client reports failures only, so it does not say when there is room."""


class TxnProducer:
    """The transactional producer.

    Where a blocking call does not succeed at once, ``keep_going`` decides whether to repeat it. A producer whose call
    hangs (guards/hanging_calls.py) is left behind. A new one of the same transactional.id takes over: its initialise()
    fences the old one and aborts the txn.

    Raises:
        Abortable: abort() must follow; Replaced: initialise() must follow.
        Fatal: the producer cannot be used any more.
        Retriable: the service stops, and nothing shows that the txn was committed.
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
        """``make_producer`` makes a producer, with the same transactional.id each time.

        It gets the list to which the delivery callback appends why records fail, and the transaction.timeout.ms.
        ``missing_topic`` returns an output topic that the cluster does not know, if any; long waits ask it.
        ``throttled`` returns whether a broker throttles the producer, as far as poll() has heard.
        ``txn_timeouts_ms`` are the usual timeout, and longer ones for after a txn that exceeded its own.
        """
        self._make_producer = make_producer
        self._missing_topic = missing_topic
        self._throttled = throttled
        self._time = TxnTime(txn_timeouts_ms, time.monotonic)
        self._undelivered: list[KafkaError] = []
        """Why records of this producer and txn failed; a producer that was left behind has a list of its own."""
        self._producer = make_producer(self._undelivered, self._time.timeout_ms)
        self._keep_going = keep_going
        self._state = TxnState.NEW
        self._refusals = Refusals()

    @property
    def ready(self) -> bool:
        """Whether txns can begin; if not, initialise() must come first."""
        return self._state is not TxnState.NEW

    @property
    def open(self) -> bool:
        """Whether a txn is open."""
        return self._state is TxnState.OPEN

    def initialise(self, timeout_s: float = CALL_TIMEOUT_S) -> None:
        """Fence older producers of this name and abort their open txns; one attempt.

        Raises:
            Retriable: the coordinator does not answer.
            Fatal: the coordinator refuses.
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
        """Produce records in the txn; begin one if none is open."""
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
        2. Add the offsets with the group's metadata: here the broker refuses a zombie.
        3. Commit.
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
        self._refusals.committed()

    def abort(self) -> None:
        """Abort the open txn, if any; a new producer takes over, and initialise() must follow.

        After an abort librdkafka 2.16 gives the sequence numbers of purged records to the next ones, so a broker may
        drop these as repetitions. docs/decisions/producer.md, "After each abort a new producer goes on".
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
        """Serve the client's callbacks. The client may raise here that its producer was fenced or is fatal."""
        try:
            self._producer.poll(timeout_s)
        except KafkaException as exception:
            raise self._sorted(exception, "Kafka client") from exception

    def _replace(self) -> None:
        self._producer.purge(blocking=False)  # a producer that hangs would go on sending, at the cost of the quota
        self._undelivered = []
        self._producer = self._make_producer(self._undelivered, self._time.timeout_ms)
        self._step(TxnStep.REPLACED)

    def _produce(self, record: OutRecord) -> None:
        watch, fields = None, (record.topic, record.value, record.key, record.partition)
        while True:
            try:
                if record.headers is None:  # a keyword argument adds a third to the cost of the call
                    self._producer.produce(*fields)
                elif not record.timestamp_ms:
                    self._producer.produce(*fields, headers=record.headers)
                else:
                    self._producer.produce(*fields, headers=record.headers, timestamp=record.timestamp_ms)
            except BufferError:
                if not self._keep_going():
                    raise Retriable("produce: stopped while the local queue was full") from None
                self.poll(FULL_S)
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
        """Whether a broker throttles. The client reports it in a callback, so callbacks are served first."""
        self.poll()
        self._give_up_in_time(doing)
        return self._throttled()

    def _watch_topics(self) -> MissingTopicWatch:
        return MissingTopicWatch(self._missing_topic, time.monotonic)

    def _look(self, watch: MissingTopicWatch) -> None:
        """Look for missing topics; the wait for one would not end."""
        if topic := watch.look():
            self._step(TxnStep.FAILED)
            raise Fatal(f"look for topic {topic}: Unknown topic; {MISSING}", KafkaError.UNKNOWN_TOPIC_OR_PART)

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
            raise Replaced(f"{hung}; a new producer takes over") from None

    def _sorted(self, exception: KafkaException, doing: str) -> KafkaProblem:
        reported = kafka_error(exception)
        error = cause_of(reported, self._producer, self._undelivered)
        problem = classify(error, doing)
        if error is not reported and isinstance(problem, Retriable):  # the cause is retriable, but the call has failed
            problem = Abortable(str(problem))
        if is_out_of_step(error) and self._state is not TxnState.BROKEN:
            self._replace()
            return Replaced(f"{problem}; a new producer takes over")
        if error.code() == KafkaError.INVALID_TRANSACTION_TIMEOUT and self._time.too_long():
            self._replace()
            return Replaced(f"{problem}; the next producer has the usual timeout")
        problem = self._refusals.judge(problem, error.code())
        if isinstance(problem, Fatal):
            self._step(TxnStep.FAILED)
        return problem

    def _step(self, step: TxnStep) -> None:
        self._state = next_state(self._state, step)
