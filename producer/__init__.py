"""Replays a CSV file into Kafka at the pace of its own timestamps.

`csv_rows`, `fields` and `replay` are pure: no files, no clock, no Kafka; bytes and the time come in as arguments.
Only `publisher` imports confluent_kafka. Of the service the producer takes its wire format and its version.
"""
