"""Guard: brokers without the group protocol that the service uses by default (KIP-848, since Kafka 4.0).

Seen (librdkafka 2.16, Kafka 3.7.2 and 3.9.1): these brokers offer version 0 of ConsumerGroupHeartbeat, and librdkafka
needs version 1. It then looks for another coordinator without end, and reports no error.
What we do: with debug=feature the client logs which versions a broker offers. An admin client asks one question, and we
read its log. If these lines change, we find nothing in them and the start goes on.
It can go when the client reports an unsupported group protocol as an error.
docs/decisions/client.md, "The client's log shows which group protocol a broker offers".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from confluent_kafka.admin import AdminClient

from service.kafka.classify import NO_CONSUMER_PROTOCOL, query
from service.loop.errors import Misconfigured

TIMEOUT_S: Final = 1.0
NEEDED: Final = 1
"""The version of ConsumerGroupHeartbeat in which the client chooses its member id (KIP-1082)."""

_OFFERED: Final = re.compile(r"ApiKey ConsumerGroupHeartbeat \(68\) Versions \d+\.\.(\d+)")
_ABSENT: Final = re.compile(r"\bConsumerGroupHeartbeat \(\S+\) NOT supported by broker")


class Lines:
    """Keeps what a client logs; the client uses it as its logger."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def log(self, _level: int, message: str, *arguments: object) -> None:
        """Keep a line. The client calls this."""
        self.kept.append(message % arguments)


def newest_heartbeat(lines: Iterable[str]) -> int | None:
    """The newest version of ConsumerGroupHeartbeat that all brokers in a client's log offer.

    -1 where a broker offers none, None where the log has no such line.
    """
    text = "\n".join(lines)
    if _ABSENT.search(text):
        return -1
    return min(map(int, _OFFERED.findall(text)), default=None)


def offered(make_client: Callable[[Lines], AdminClient], topic: str) -> int | None:
    """Ask a broker for newest_heartbeat(). ``make_client`` makes a client with this logger; ``topic`` need not exist.

    Raises:
        Retriable: the broker does not answer.
        Fatal: the broker refuses.
    """
    lines = Lines()
    client = make_client(lines)
    with query("look for the brokers' group protocols"):
        client.list_topics(topic, timeout=TIMEOUT_S)
    client.poll(0)  # the client hands over its log together with other events
    return newest_heartbeat(lines.kept)


def check_group_protocol(make_client: Callable[[Lines], AdminClient], topic: str) -> None:
    """Refuse brokers without the group protocol; arguments and other errors as for offered().

    Raises:
        Misconfigured: a broker lacks the protocol.
    """
    version = offered(make_client, topic)
    if version is not None and version < NEEDED:
        raise Misconfigured(NO_CONSUMER_PROTOCOL)
