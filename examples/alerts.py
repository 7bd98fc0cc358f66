"""Prints each alert once. Usage: python alerts.py BROKERS [TOPIC]."""

import json
import sys
from decimal import Decimal

from confluent_kafka import Consumer

settings = {"bootstrap.servers": sys.argv[1], "group.id": "alerts-python", "auto.offset.reset": "earliest"}
consumer = Consumer({**settings, "isolation.level": "read_committed", "enable.auto.commit": False})
consumer.subscribe(sys.argv[2:3] or ["alerts"])
seen = set()  # in a real program a unique key in your database, written together with what you do about the alert
while True:
    message = consumer.poll(1.0)
    if message is None:
        continue
    if message.error():  # the client tries again by itself
        print(message.error(), file=sys.stderr)
        continue
    alert = json.loads(message.value(), parse_float=Decimal)
    if alert["alert_id"] not in seen:
        seen.add(alert["alert_id"])
        print(alert["alert_id"], alert["transaction_id"], alert["amount"], flush=True)
    consumer.commit(message)  # after the work: what a crash interrupts comes again
