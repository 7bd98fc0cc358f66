"""A real Apache Kafka broker from packages, and helpers that run the programs of this checkout against it.

The demo, the tests and the benchmarks use it; `service` and `producer` never do.
Its files stay in `.broker/`, and it listens on 127.0.0.1 only.
"""
