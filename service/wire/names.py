"""What Kafka takes for the address of its brokers."""

from __future__ import annotations

import re
from typing import Final

_BROKER: Final = re.compile(r"(?:[A-Za-z_]+://)?(?:\[[0-9A-Fa-f:.%\w]+\]|[^\s:/,\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_PORT_MAX: Final = 65_535


def no_broker_in(text: str) -> str | None:
    """The first part of a list ``host:port,host:port`` that is no broker's address, or None where each is."""
    for broker in text.split(","):
        found = _BROKER.fullmatch(broker.strip())
        if found is None or not 0 < int(found["port"] or "9092") <= _PORT_MAX:
            return broker
    return None
