"""The timeline command: it draws records, watermarks and windows over time.

It reads topics and writes a file. It joins no group and changes nothing in Kafka.
"""
