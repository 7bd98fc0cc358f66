"""asyncapi.yaml: the topics as channels, with their messages, headers and payloads."""

from collections.abc import Mapping
from typing import Any, Final

from service import __version__
from service.settings.kafka import TopicsSettings
from tools.contract_payloads import DECIMAL, EPISODES, KINDS

Node = dict[str, Any]
BINDING: Final = "0.5.0"
JSON: Final = "application/json"
_ALERT_KEY: Final = "the `transaction_id`, UTF-8; empty for a silent partition or topic"
_KEY: Final = "the `transaction_id`, UTF-8"
_BY_DEFAULT: Final = "By default. The settings `INPUT_…` say where other records have these fields; see docs/input.md."
_OWN_KEY: Final = "the input record's own key"


def asyncapi() -> Node:
    """The whole document."""
    channels = _channels(TopicsSettings())
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "txwatch",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": JSON,
        "servers": {
            "kafka": {
                "host": "localhost:9092",
                "protocol": "kafka",
                "description": "The cluster of `KAFKA_BOOTSTRAP_SERVERS`; this is its default.",
            }
        },
        "channels": channels,
        "operations": {
            name: _operation(channels, channel, action, summary) for name, (channel, action, summary) in _DOES.items()
        },
        "components": {"messages": _messages()},
    }


_ABOUT: Final = f"""\
Finds anomalous transactions in a stream, exactly once. The addresses are the default names of the topics; each has a
setting, which is named with it.

Readers set `isolation.level=read_committed`: a record that is not committed may still be aborted. A repeated alert has
the same `alert_id`. Fields are added in later versions, never renamed or removed, so readers should ignore those that
they do not know. Times are epoch milliseconds, UTC.

Amounts: {DECIMAL}
"""


def _channels(topics: TopicsSettings) -> Node:
    alerts = ("alert", "silence", "episodeOpened", "episodeResolved", "alertOfAPackage")
    aside = "A copy of the input record, byte for byte, with headers that say why."
    found = {
        "transactions": _channel(topics.transactions, "TOPICS_TRANSACTIONS", "The input.", "transaction"),
        "alerts": _channel(topics.alerts, "TOPICS_ALERTS", "What the detectors found.", *alerts),
        "shadow": _channel(topics.shadow, "TOPICS_SHADOW", "The same of detectors in shadow mode.", *alerts),
        "aggregates": _channel(
            topics.aggregates, "TOPICS_AGGREGATES", "Every closed window of every id. Off by default.", "aggregate"
        ),
        "late": _channel(topics.late, "TOPICS_LATE", f"Late records, with `LATE_POLICY=divert`. {aside}", "setAside"),
        "deadLetter": _channel(topics.dead_letter, "TOPICS_DEAD_LETTER", f"Rejected records. {aside}", "setAside"),
        "undelivered": _channel(
            topics.undelivered, "TOPICS_UNDELIVERED", "Records that `forward` gave up, byte for byte.", "undelivered"
        ),
        "rekeyed": _channel("", "rekey --to TOPIC", "The input once more, keyed by the id.", "rekeyed"),
        "state": _channel(
            topics.state, "TOPICS_STATE", "What detectors remember, for txwatch alone: its form may change.", "state"
        ),
    }
    compacted = {"topicConfiguration": {"cleanup.policy": ["compact"]}, "bindingVersion": BINDING}
    found["state"]["bindings"] = {"kafka": compacted}
    return found


def _channel(topic: str, setting: str, description: str, *messages: str) -> Node:
    return {
        "address": topic or None,
        "description": f"{description} Named by `{setting}`.",
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }


_DOES: Final[Mapping[str, tuple[str, str, str]]] = {
    "readTransactions": ("transactions", "receive", "The service reads payments."),
    "writeAlerts": ("alerts", "send", "The service writes what it found, in the txn that commits the input's offsets."),
    "writeShadowAlerts": ("shadow", "send", "The service writes what detectors on trial found, in the same txn."),
    "writeAggregates": ("aggregates", "send", "The service writes every sum, in the same txn."),
    "setLateAside": ("late", "send", "The service sets late records aside, in the same txn."),
    "setRejectedAside": ("deadLetter", "send", "The service sets rejected records aside, in the same txn."),
    "writeStates": ("state", "send", "The service writes what detectors remember, in the same txn."),
    "readStates": ("state", "receive", "The service reads it back."),
    "forwardAlerts": ("alerts", "receive", "`txwatch forward` reads alerts, and sends them over HTTP."),
    "writeUndelivered": ("undelivered", "send", "`txwatch forward` writes what it could not deliver."),
    "writeRekeyed": ("rekeyed", "send", "`txwatch rekey` writes the input again, with another key."),
}
"""Each operation: the channel, what txwatch does with it, and a sentence."""


def _operation(channels: Node, channel: str, action: str, summary: str) -> Node:
    messages = [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in channels[channel]["messages"]]
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary, "messages": messages}


def _messages() -> Node:
    kinds = [kind for name, kind in KINDS.items() if name != "inactivity"]
    an_alert = "An alert with records: " + " ".join(f"{kind['title']}: {kind['description']}" for kind in kinds)
    bytes_ = "Bytes as they came: usually a transaction, or what was meant to be one."
    own = "alert-headers.json"
    return {
        "transaction": _message("A payment", _BY_DEFAULT, _KEY, "transaction.json"),
        "alert": _message("An alert", an_alert, _ALERT_KEY, "alert.json", own),
        "silence": _alert("A silence", "inactivity"),
        "episodeOpened": _alert("An anomaly begins", "episodeOpened"),
        "episodeResolved": _alert("An anomaly ends", "episodeResolved"),
        "alertOfAPackage": _message(
            "An alert of a detector that a package brings",
            "It may have further fields.",
            _ALERT_KEY,
            "alert-of-a-package.json",
            own,
        ),
        "aggregate": _message("A sum", "", _KEY, "aggregate.json"),
        "setAside": _bytes("A record that was set aside", bytes_, _OWN_KEY, "set-aside-headers.json"),
        "undelivered": _bytes(
            "A record of the alerts' topic that was not delivered",
            "Bytes as they came: an alert, also one of a package's detector, or what is no alert. A record larger than"
            " 2 MiB is cut. Its own headers come first.",
            "the record's own key",
            "undelivered-headers.json",
        ),
        "rekeyed": _bytes("A record with another key", bytes_, _KEY, "rekeyed-headers.json"),
        "state": {
            "title": "What a detector remembers of an id",
            "contentType": "application/octet-stream",
            "payload": {"description": "For txwatch alone. No value: forgotten."},
            "bindings": _key("the detector's name, NUL and the id"),
        },
    }


def _alert(title: str, kind: str) -> Node:
    message = _message(title, (KINDS | EPISODES)[kind]["description"], _ALERT_KEY, "alert.json", "alert-headers.json")
    narrowed = [message["payload"], {"$ref": f"./schemas/alert.json#/$defs/{kind}"}]
    return message | {"payload": {"allOf": narrowed}}


def _message(title: str, summary: str, key: str, payload: str, headers: str = "") -> Node:
    return {
        "title": title,
        **({"description": summary} if summary else {}),
        "contentType": JSON,
        **({"headers": {"$ref": f"./schemas/{headers}"}} if headers else {}),
        "payload": {"$ref": f"./schemas/{payload}"},
        "bindings": _key(key),
    }


def _bytes(title: str, description: str, key: str, headers: str) -> Node:
    return {
        "title": title,
        "contentType": "application/octet-stream",
        "headers": {"$ref": f"./schemas/{headers}"},
        "payload": {"description": description},
        "bindings": _key(key),
    }


def _key(description: str) -> Node:
    return {"kafka": {"key": {"type": "string", "description": description}, "bindingVersion": BINDING}}
