"""What can be a name: of a broker, a group, an instance."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from typing import Final

_BROKER: Final = re.compile(r"(?:[A-Za-z_]+://)?(?:\[[0-9A-Fa-f:.%\w]+\]|[^\s:/,\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_HOST: Final = re.compile(r"[^\s:/\[\]]+")
_PORT_MAX: Final = 65_535
NAME_MAX_BYTES: Final = 1_000
"""Kafka would take 32,767, but an instance's name has to fit into an offset's metadata, 4,096 bytes by default."""
_UNSEEN: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
"""Unicode's categories of what leaves no mark: controls, byte order marks and the like, separators, spaces."""


def first_bad_address(text: str) -> str | None:
    """The first part of a list ``host:port,host:port`` that is no broker's address, or None where each is."""
    for broker in text.split(","):
        found = _BROKER.fullmatch(broker.strip())
        if found is None or not 0 < int(found["port"] or "9092") <= _PORT_MAX:
            return broker
    return None


def fault_of_host(host: str) -> str | None:
    """What is wrong with a host to listen at, or None; an IPv6 address is written without brackets."""
    if (fault := fault_of_name(host)) is not None:
        return fault
    text = host.partition("%")[0]
    try:
        ipaddress.ip_address(text)
    except ValueError:
        if _HOST.fullmatch(host) is None:
            return f"{host!r} is no host: a name or an address, an IPv6 one without brackets"
    return None


def fault_of_text(text: str) -> str | None:
    """What is wrong with a name, or a list of names, as it is written; None if nothing is.

    Nobody means a space at an end, and the client takes a group of one space for none: that aborts the process. A
    control character is no part of any name.
    """
    if not text.strip():
        return "is blank"
    if any(unicodedata.category(end) in _UNSEEN for end in (text[0], text[-1])):
        return f"{text!a} begins or ends with a space or an invisible character"
    if any(unicodedata.category(one) == "Cc" for one in text):
        return f"{text!a} has a control character in it"
    return None


def fault_of_name(name: str) -> str | None:
    """What is wrong with a name of the user's choice, or None."""
    if (fault := fault_of_text(name)) is None and len(name.encode(errors="replace")) > NAME_MAX_BYTES:
        return f"is longer than {NAME_MAX_BYTES} bytes"
    return fault
