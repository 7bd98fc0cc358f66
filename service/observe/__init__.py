"""What others see of the service: metrics, status, HTTP pages and log lines.

The loop writes here, and other threads read.
Nothing here knows Kafka, settings or the loop.
"""
