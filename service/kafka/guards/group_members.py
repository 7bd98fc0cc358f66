"""Guard: an admin client that asks a group's coordinator aborts the process.

Seen (librdkafka 2.16): where connections come and go, librdkafka answers a request to a coordinator twice, long after
its timeout, and aborts the process (`eonce->refcnt > 0`): in 12 of 13 runs of 12 s against a proxy that cuts
connections.
What we do: a new client for each question, and as few questions as possible. Committed offsets are asked of consumers.
It can go when librdkafka's admin client survives that proxy.
docs/decisions/client.md, "A short-lived admin client asks the group's coordinator".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, MemberDescription  # type: ignore[attr-defined]

from service.kafka.classify import classify_request

TIMEOUT_S: Final = 2.0
"""The time to connect is part of it."""


class GroupMembers:
    """The members of one consumer group."""

    def __init__(self, make_client: Callable[[], AdminClient], group: str) -> None:
        """``make_client`` constructs a client for each question."""
        self._make_client = make_client
        self._group = group

    def knows(self, member_id: str) -> bool:
        """Whether the group has this member; False also while the coordinator does not answer."""
        try:
            members = self._describe()
        except KafkaException:  # the caller asks again until the answer is yes
            return False
        return any(member.member_id == member_id for member in members)

    def client_ids(self) -> set[str]:
        """The client ids of the members.

        Raises:
            Retriable: the coordinator does not answer.
            Fatal: it refuses.
        """
        try:
            members = self._describe()
        except KafkaException as exception:
            raise classify_request(exception, f"describe group {self._group}") from exception
        return {member.client_id for member in members}

    def _describe(self) -> list[MemberDescription]:
        client = self._make_client()  # the name keeps it alive: without the client there is no answer
        asked = client.describe_consumer_groups([self._group], request_timeout=TIMEOUT_S)
        return list(asked[self._group].result().members)
