"""Reading the past with the same core that the service runs.

A reader is passed in, so nothing here knows Kafka's client.
Nothing here writes to Kafka or joins a group.
"""
