"""Reading the past with the same core as the service.

The caller passes in a reader, so nothing here imports Kafka's client.
Nothing here writes to Kafka or joins a group.
"""
