"""From an error of confluent_kafka to one of `service.loop.errors`: what the caller must do about it."""

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
# No retry mends these: the operator has to, or a new process.
_HOPELESS = frozenset(
    {
        KafkaError._FATAL,  # noqa: SLF001 - what comes as a message of the consumer does not say so otherwise
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


def settings_refused(error: KafkaError) -> bool:
    """Whether the broker and KAFKA_PROPERTIES do not fit together: no retry mends that."""
    if error.code() in {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED}:  # noqa: SLF001
        return True
    # A connection that breaks off in the handshake may be a broker that is just stopping.
    return error.code() == KafkaError._SSL and "Disconnected" not in error.str()  # noqa: SLF001


def _code(error: KafkaError) -> int:
    """The broker's code also where a message of the consumer has only the client's own, with the cause in words."""
    if error.code() != KafkaError._FATAL:  # noqa: SLF001
        return error.code()
    causes = (_FENCED | _HOPELESS) - {error.code()}
    return next((code for code in causes if KafkaError(code).str() in error.str()), error.code())


def kafka_error(exception: KafkaException) -> KafkaError:
    """The error inside the client's exception."""
    error = exception.args[0]
    if not isinstance(error, KafkaError):
        raise TypeError(f"not a KafkaException of the client: {exception!r}") from exception
    return error


def classify(error: KafkaError, doing: str) -> KafkaProblem:
    """Say what is to be done about an error that came while ``doing`` something."""
    line = f"{doing}: {error.str()} ({error.name()})"
    code = _code(error)
    if code in _FENCED:
        return Fenced(line, code)
    if code == KafkaError.UNSUPPORTED_VERSION and "ConsumerGroupHeartbeat" in line:
        return Misconfigured(NO_CONSUMER_PROTOCOL, code)
    if error.fatal() or code in _HOPELESS:
        return Fatal(line, code)
    if error.txn_requires_abort():
        return Abortable(line)
    if error.retriable() or error.code() in {KafkaError._TIMED_OUT, KafkaError._TRANSPORT}:  # noqa: SLF001
        return Retriable(line)
    return Abortable(line)


def classify_query(error: KafkaError, doing: str) -> Fatal | Retriable:
    """The same for what changes nothing, or what is begun anew as a whole: all that is not fatal can be tried again."""
    problem = classify(error, doing)
    return problem if isinstance(problem, Fatal) else Retriable(str(problem))


@contextmanager
def query(doing: str) -> Iterator[None]:
    """Sort what the client raises in the body, see classify_query().

    Raises:
        Retriable, Fatal: what became of the client's exception.
    """
    try:
        yield
    except KafkaException as exception:
        raise classify_query(kafka_error(exception), doing) from exception


@contextmanager
def fatal_on_error(doing: str) -> Iterator[None]:
    """Whatever the client raises in the body ends the process: the next one starts by doing the same.

    Raises:
        Fatal: what became of the client's exception.
    """
    try:
        yield
    except KafkaException as exception:
        raise Fatal(str(classify(kafka_error(exception), doing))) from exception
