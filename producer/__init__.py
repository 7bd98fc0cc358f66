"""Replays a CSV file into Kafka at the pace of its own timestamps.

`replay` is pure: no files, no clock, no Kafka; the time is an argument.
Only `publisher` and its two helpers, `client` and `outages`, import confluent_kafka.
Of the service, the producer may use only `wire`, `core`, `process` and the version.
"""
