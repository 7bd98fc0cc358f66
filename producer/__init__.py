"""Replays a CSV file into Kafka at the pace of its own timestamps.

`reading` takes a file to rows and knows nothing of the rest. `replay` is pure: no files, no clock, no Kafka; the time
comes in as an argument.
Only `publisher` imports confluent_kafka. Of the service the producer takes its wire format and its version.
"""
