"""Everything that service/ says to Kafka.

Outside this folder only bootstrap, clients, acls and the commands that read topics import confluent_kafka.
"""
