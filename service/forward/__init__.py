"""Sends alerts to HTTP targets: what to send, what an answer means, when to try again, and the HTTP client.

Time and chance are arguments. Nothing here knows Kafka or settings: `service.app.forwarding` joins them.
A request may take as long as its timeout, so each runs on a thread of its own, never on the loop's.
"""
