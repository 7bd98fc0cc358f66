"""What others see of the service: metrics, status, HTTP pages and log lines.

The loop writes, and other threads read.
Nothing here imports Kafka's client, settings or the loop.
"""
