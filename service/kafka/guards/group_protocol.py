"""Whether the brokers offer the group protocol that the service uses by default: KIP-848, since Kafka 4.0.

Kafka 3.7 to 3.9 offer version 0 of its heartbeat. librdkafka 2.16 needs version 1; with version 0 it looks for another
coordinator for ever and reports no error. With debug=feature it logs which versions a broker offers, so the log of a
client that asks one question is read. Should these lines change, nothing is found in them and the start goes on.
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
    """What a client logs; it takes this for a logger."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def log(self, _level: int, message: str, *arguments: object) -> None:
        """Keep a line. Kafka's client calls this."""
        self.kept.append(message % arguments)


def newest_heartbeat(lines: Iterable[str]) -> int | None:
    """The newest version of ConsumerGroupHeartbeat that all brokers of a client's log offer.

    -1 where one of them has none, None where the log does not say.
    """
    text = "\n".join(lines)
    if _ABSENT.search(text):
        return -1
    return min(map(int, _OFFERED.findall(text)), default=None)


def offered(make_client: Callable[[Lines], AdminClient], topic: str) -> int | None:
    """Ask a broker, see newest_heartbeat(). ``make_client`` makes one whose logger it is; ``topic`` need not exist.

    Raises:
        Retriable: the broker does not answer.
        Fatal: it refuses.
    """
    lines = Lines()
    client = make_client(lines)
    with query("look for the brokers' group protocols"):
        client.list_topics(topic, timeout=TIMEOUT_S)
    client.poll(0)  # the log comes with the other events
    return newest_heartbeat(lines.kept)


def check_group_protocol(make_client: Callable[[Lines], AdminClient], topic: str) -> None:
    """Refuse brokers that lack the group protocol; arguments and errors as for offered().

    Raises:
        Misconfigured: they lack it.
    """
    version = offered(make_client, topic)
    if version is not None and version < NEEDED:
        raise Misconfigured(NO_CONSUMER_PROTOCOL)
