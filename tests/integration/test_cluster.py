"""A cluster of three brokers: what the service asks of each, and what becomes of records when one dies."""

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest

from brokerkit.client import create_topics, produce, read_all
from brokerkit.cluster import Cluster
from brokerkit.service_process import Names
from service.app.bootstrap import Service
from service.app.fetching import FETCH_BYTES
from service.process.stop import Stop
from service.settings import load


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    """A cluster that loses a broker in the last test."""
    with Cluster(3) as cluster:
        yield cluster


class ConsumerConfigured(Exception):  # noqa: N818 - it ends a start, and is no error
    """The service has come to its consumer, with this configuration."""


def test_its_brokers_share_what_a_fetch_may_bring(three: Cluster, unique: Callable[[str], str]) -> None:
    def end(config: dict[str, Any]) -> NoReturn:
        raise ConsumerConfigured(config)

    variables = {"KAFKA_BOOTSTRAP_SERVERS": three.bootstrap_servers, "HTTP_HOST": "127.0.0.1", "HTTP_PORT": "0"}
    settings = load(None, {**Names(unique).environment(), **variables}).settings
    with pytest.raises(ConsumerConfigured) as reached:
        Service(settings, Stop(), consumer=end).run()
    (config,) = reached.value.args
    assert config["fetch.max.bytes"] == FETCH_BYTES // 3


def test_it_goes_on_without_one(three: Cluster) -> None:
    create_topics(three, "kept", partitions=3)
    three.brokers[2].kill()

    produce(three, "kept", [("k", str(i)) for i in range(30)])

    assert len(read_all(three, "kept")) == 30
