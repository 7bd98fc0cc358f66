"""The floor: a loop that consumes N records with the service's own client settings, and only counts."""

import sys
import time

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

from service.app.clients import client_config, consumer_config
from service.kafka.admin import ClusterAdmin
from service.loop.schedule import POLL_S
from service.loop.worker import BATCH_RECORDS
from service.settings import load


def main() -> None:
    """Read the number of records given; settings come from the environment, as the service's do."""
    wanted = int(sys.argv[1])
    settings = load(None).settings
    admin = ClusterAdmin(AdminClient(client_config(settings, "admin", lambda _: None)))
    config = consumer_config(settings, lambda _: None, admin.brokers(settings.topics.transactions))
    consumer = Consumer({**config, "auto.offset.reset": "earliest"})
    consumer.subscribe([settings.topics.transactions])
    print(f"started {time.process_time():.3f}", flush=True)
    seen = 0
    while seen < wanted:
        seen += sum(1 for message in consumer.consume(BATCH_RECORDS, POLL_S) if message.error() is None)
    print(f"done {time.process_time():.3f}", flush=True)
    consumer.close()


if __name__ == "__main__":
    main()
