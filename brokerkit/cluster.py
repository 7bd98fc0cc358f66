"""Several brokers that are one cluster, for tests of what one broker cannot show."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from brokerkit.broker import Broker
from brokerkit.files import Node, replication
from brokerkit.jars import HOME, KAFKA_VERSION, BrokerError


class Cluster:
    """Several brokers, each of them also a controller. Internal topics have three copies; two must be in sync.

    Args:
        n: the number of brokers.
        properties: server properties for all of them.
        heap_mib: the greatest heap of each.
        version: as for `Broker`.
        home: as for `Broker`.
    """

    def __init__(
        self,
        n: int = 3,
        *,
        properties: Mapping[str, str | int] | None = None,
        heap_mib: int = 512,
        version: str = KAFKA_VERSION,
        home: Path = HOME,
    ) -> None:
        both = {**replication(n), **(properties or {})}
        self.brokers: Final = [
            Broker(properties=both, heap_mib=heap_mib, version=version, node=node, home=home)
            for node in Node.together(n)
        ]

    @property
    def bootstrap_servers(self) -> str:
        """HOST:PORT of each broker, for clients."""
        return ",".join(broker.bootstrap_servers for broker in self.brokers)

    def start(self) -> Self:
        """Starts all brokers at once and waits until each one knows the others.

        Raises:
            BrokerError: one of them cannot be started; none runs then.
        """
        try:
            for broker in self.brokers:
                broker.spawn()
            for broker in self.brokers:
                broker.wait_until_ready(len(self.brokers))
        except BrokerError:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Ends all brokers and removes their data."""
        for broker in self.brokers:
            broker.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()
