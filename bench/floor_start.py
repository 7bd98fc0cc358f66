"""The floor of a start: a bare client that joins the group, reads a batch and commits it in a txn."""

import os

from confluent_kafka import Consumer, Message, Producer, TopicPartition


def main() -> None:
    """Settings come from the environment, under the service's names."""
    servers, group = os.environ["KAFKA_BOOTSTRAP_SERVERS"], os.environ["KAFKA_GROUP_ID"]
    topic = os.environ["TOPICS_TRANSACTIONS"]
    producer = Producer({"bootstrap.servers": servers, "transactional.id": group})
    producer.init_transactions()
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic])
    batch: list[Message] = []
    while not batch:
        batch = [message for message in consumer.consume(500, 0.1) if message.error() is None]
    producer.begin_transaction()
    last = TopicPartition(topic, batch[-1].partition() or 0, (batch[-1].offset() or 0) + 1)
    producer.send_offsets_to_transaction([last], consumer.consumer_group_metadata())
    producer.commit_transaction()
    print("committed", flush=True)
    consumer.close()


if __name__ == "__main__":
    main()
