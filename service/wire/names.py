"""Checks of names: of brokers, hosts, topics, groups and instances. Both programs use them."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from typing import Final

_BROKER: Final = re.compile(r"(?:[A-Za-z_]+://)?(?:\[[0-9A-Fa-f:.%\w]+\]|[^\s:/,\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_HOST: Final = re.compile(r"[^\s:/\[\]]+")
_PORT_MAX: Final = 65_535
_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
NAME_MAX_BYTES: Final = 1_000
"""Kafka allows 32,767, but for a name of 40,000 the group's coordinator never answered (docs/decisions/client.md)."""
_UNSEEN: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
"""Unicode's categories of invisible characters: controls, format characters, separators, spaces."""


def first_bad_address(text: str) -> str | None:
    """The first part of a list ``host:port,host:port`` that is not a broker's address, or None if all are.

    Port 0 is refused: the client would try to connect without end.
    """
    for broker in text.split(","):
        found = _BROKER.fullmatch(broker.strip())
        if found is None or not 0 < int(found["port"] or "9092") <= _PORT_MAX:
            return broker
    return None


def fault_of_brokers(text: str) -> str | None:
    """What is wrong with a list of brokers, ``host:port,host:port``, or None."""
    if (fault := fault_of_text(text)) is not None:
        return fault
    if (broker := first_bad_address(text)) is not None:
        return f"{broker!r} is not host:port"
    return None


def fault_of_topic(name: str) -> str | None:
    """What is wrong with the name of a topic, to read on after it, or None."""
    if _TOPIC.fullmatch(name) is None or name in {".", ".."}:
        return "is no topic name: 1 to 249 of A-Z a-z 0-9 . _ -, but not . or .. alone"
    return None


def fault_of_host(host: str) -> str | None:
    """What is wrong with a host to listen at, as the end of a sentence that begins with it, or None.

    An IPv6 address has no brackets.
    """
    if (fault := fault_of_name(host)) is not None:
        return fault
    text = host.partition("%")[0]
    try:
        ipaddress.ip_address(text)
    except ValueError:
        if _HOST.fullmatch(host) is None:
            return "is no host: it must be a name or an address (IPv6 without brackets)"
    return None


def fault_of_text(text: str) -> str | None:
    """What is wrong with the characters of a name or a list of names, as the end of a sentence about it, or None.

    A space at an end is always a mistake, and a group named by one space makes the client abort the process.
    """
    if not text.strip():
        return "is blank"
    if any(unicodedata.category(end) in _UNSEEN for end in (text[0], text[-1])):
        return "begins or ends with a space or an invisible character"
    if any(unicodedata.category(one) == "Cc" for one in text):
        return "has a control character in it"
    return None


def fault_of_name(name: str) -> str | None:
    """What is wrong with a name that the user chose, or None."""
    if (fault := fault_of_text(name)) is None and len(name.encode(errors="replace")) > NAME_MAX_BYTES:
        return f"is longer than {NAME_MAX_BYTES} bytes"
    return fault
