"""Turns an error of confluent_kafka into one of `service.loop.errors`, by what the caller must do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from service.loop.errors import Abortable, Fatal, Fenced, KafkaProblem, Misconfigured, Retriable

NO_CONSUMER_PROTOCOL = (
    "KAFKA_PROPERTIES: the brokers do not offer the group protocol of KIP-848 (Kafka 4.0 and newer): "
    'set KAFKA_PROPERTIES=\'{"group.protocol":"classic"}\''
)

_FENCED = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})  # noqa: SLF001
# No retry helps: the operator must act, or a new process must start.
_FATAL_CODES = frozenset(
    {
        KafkaError._FATAL,  # noqa: SLF001 - a message of the consumer shows a fatal error by nothing else
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,  # noqa: SLF001
        KafkaError.INVALID_TRANSACTION_TIMEOUT,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError._UNSUPPORTED_FEATURE,  # noqa: SLF001
    }
)


def _code(error: KafkaError) -> int:
    """The error's code. A message of the consumer may have the client's own code, and the broker's only in words."""
    if error.code() != KafkaError._FATAL:  # noqa: SLF001
        return error.code()
    causes = (_FENCED | _FATAL_CODES) - {error.code()}
    return next((code for code in causes if KafkaError(code).str() in error.str()), error.code())


def kafka_error(exception: KafkaException) -> KafkaError:
    """The error inside the client's exception."""
    error = exception.args[0]
    if not isinstance(error, KafkaError):
        raise TypeError(f"not a KafkaException of the client: {exception!r}") from exception
    return error


def classify(error: KafkaError, doing: str) -> KafkaProblem:
    """Sort an error by what the caller must do; ``doing`` names the call in the text."""
    line = f"{doing}: {error.str()} ({error.name()})"
    code = _code(error)
    if code in _FENCED:
        return Fenced(line, code)
    if code == KafkaError.UNSUPPORTED_VERSION and "ConsumerGroupHeartbeat" in line:
        return Misconfigured(NO_CONSUMER_PROTOCOL, code)
    if error.fatal() or code in _FATAL_CODES:
        return Fatal(line, code)
    if error.txn_requires_abort():
        return Abortable(line)
    if error.retriable() or error.code() in {KafkaError._TIMED_OUT, KafkaError._TRANSPORT}:  # noqa: SLF001
        return Retriable(line)
    return Abortable(line)


def classify_query(error: KafkaError, doing: str) -> Fatal | Retriable:
    """For reads and restartable calls: everything that is not fatal is retriable."""
    problem = classify(error, doing)
    return problem if isinstance(problem, Fatal) else Retriable(str(problem))


def classify_request(exception: KafkaException, doing: str) -> Fatal | Retriable:
    """For requests outside a txn: everything that is not retriable is fatal."""
    problem = classify(kafka_error(exception), doing)
    return problem if isinstance(problem, Fatal | Retriable) else Fatal(str(problem))


@contextmanager
def query(doing: str) -> Iterator[None]:
    """Sort the client's exception in the body as classify_query() does.

    Raises:
        Retriable, Fatal: in place of the client's exception.
    """
    try:
        yield
    except KafkaException as exception:
        raise classify_query(kafka_error(exception), doing) from exception


@contextmanager
def fatal_on_error(doing: str) -> Iterator[None]:
    """End the process with any exception of the client in the body: the next process starts with the same call.

    Raises:
        Fatal: in place of the client's exception.
    """
    try:
        yield
    except KafkaException as exception:
        raise Fatal(str(classify(kafka_error(exception), doing))) from exception
