"""A real Apache Kafka broker from packages, and the programs of this checkout run against it.

The demo, the tests and the benchmarks use it; `service` and `producer` never do.
Everything it makes stays in `.broker/` and on 127.0.0.1.
"""
