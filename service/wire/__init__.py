"""Bytes to core values and back: input records, rejections, alerts, and the metadata of committed offsets.

A decoder takes the bytes of values; records to be written are OutRecord.
Nothing here imports Kafka's client or the loop.
"""
