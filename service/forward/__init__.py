"""Sends alerts to where people are: what to send, what an answer means, when to try again, and the HTTP client.

Time and chance are arguments. Nothing here knows Kafka or settings: `service.app.forwarding` joins them.
A request may last as long as its timeout, so only a thread that may wait for it sends one.
"""
