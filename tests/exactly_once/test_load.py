"""Much at once: bursts of alerts, a backlog, ids at the limit; the oracle and the kernel's books decide."""

import json
from collections import defaultdict
from collections.abc import Callable

from brokerkit.broker import Broker
from brokerkit.client import create_topics, produce, read_all
from brokerkit.processes import peak_mib
from brokerkit.service_process import Names, running, transaction, wait_until
from histories.load import START_MS
from histories.oracle import audit
from service.core.model import MAX_ID_CHARS
from tests.integration.test_service import checkpointed


def test_a_burst_in_which_every_key_is_anomalous_loses_no_alert_and_keeps_each_keys_order(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, names.alerts, partitions=4)
    keys = [f"tx{number}" for number in range(5_000)]
    with running(broker, names) as service:
        service.wait_ready(4)
        for burst in range(3):
            produce(broker, names.transactions, [transaction(key, START_MS + burst, "8000.01") for key in keys])
            checkpointed(service, len(keys) * (burst + 1))
        assert service.stop() == 0
    account = audit(broker, names)
    assert account.faults == []
    windows: dict[str, list[int]] = defaultdict(list)
    for message in read_all(broker, names.alerts):
        alert = json.loads(message.value() or b"")
        windows[alert["transaction_id"]].append(alert["window"]["start"])
    assert set(windows) == set(keys)
    assert all(starts == sorted(starts) for starts in windows.values())


def test_a_backlog_is_drained_in_bounded_memory(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=4)
    records = 300_000
    produce(broker, names.transactions, [transaction(f"tx{n % 1000}", START_MS + n, "0.10") for n in range(records)])
    with running(broker, names) as service:
        checkpointed(service, records)
        # The queues hold 16 MiB of records, each of which costs Python a few times its size.
        assert peak_mib(service.process.pid) < 220
        assert service.stop() == 0
    account = audit(broker, names)
    assert account.faults == []


def test_an_id_of_the_greatest_length_makes_an_alert_and_a_longer_one_a_dead_letter(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=1)
    longest = ["\x01" * MAX_ID_CHARS, "\U0001f4b8" * MAX_ID_CHARS]
    longer = "x" * (MAX_ID_CHARS + 1)
    with running(broker, names) as service:
        service.wait_ready(1)
        produce(broker, names.transactions, [transaction(key, START_MS, "9000") for key in (*longest, longer)])
        wait_until(lambda: len(read_all(broker, names.alerts)) == len(longest), 30)
        assert service.stop() == 0
    account = audit(broker, names)
    assert account.faults == []
    assert account.reasons == {"schema": 1}
    assert sorted(alert["transaction_id"] for alert in account.alerts) == sorted(longest)
