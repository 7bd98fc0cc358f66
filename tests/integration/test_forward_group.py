"""Several instances of `forward`, and one that loses its broker: who sends what, and what their pages say."""

import contextlib
import threading
import time
from collections.abc import Callable

from brokerkit.broker import Broker
from brokerkit.client import create_topics, read_all
from brokerkit.service_process import Names, ServiceProcess, wait_until
from tests.bad_target import Behaviour, Request, bad_target, status
from tests.forwarding import alert_writer, done, forwarding, ids_of


def after(seconds: float) -> Callable[[Request], Behaviour]:
    """Answers well, so much later."""

    def late(_: Request) -> Behaviour:
        time.sleep(seconds)
        return status(200)

    return late


def test_instances_that_join_and_leave_hand_over_without_loss_or_repetition(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.alerts, partitions=2)
    write, written = alert_writer(broker, names), {"tx0": list[str](), "tx1": list[str]()}
    enough = threading.Event()

    def keep_writing() -> None:
        while not enough.wait(0.5):
            for identifier in written:
                written[identifier] += write(identifier)

    def delivered(instance: ServiceProcess) -> float:
        return instance.metric('txwatch_forward_alerts_total{outcome="delivered"}') or 0

    def is_ready(instance: ServiceProcess) -> bool:
        return instance.get("/readyz")[0] == 200

    with bad_target() as target, contextlib.ExitStack() as instances:
        target.behave = after(0.45)  # so that a rebalance meets a request under way
        writing = threading.Thread(target=keep_writing, daemon=True)
        writing.start()
        first = instances.enter_context(forwarding(broker, names, target, timeout_ms=5_000))
        wait_until(lambda: delivered(first) > 0)
        second = instances.enter_context(forwarding(broker, names, target, timeout_ms=5_000))
        wait_until(lambda: delivered(second) > 0)
        third = instances.enter_context(forwarding(broker, names, target, timeout_ms=5_000))
        wait_until(lambda: is_ready(third), name="an instance without a partition is ready")
        assert (delivered(third), third.metric("txwatch_forward_ready")) == (0, 1)
        assert first.stop() == 0
        wait_until(lambda: delivered(third) > 0)
        enough.set()
        writing.join()
        wait_until(lambda: done(broker, names) == sum(map(len, written.values())))
        assert [second.stop(), third.stop()] == [0, 0]
        sent = ids_of(target.requests)
    assert {one: [alert for alert in sent if alert.startswith(one)] for one in written} == written
    assert read_all(broker, names.undelivered) == []
