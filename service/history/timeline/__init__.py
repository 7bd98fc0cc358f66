"""The timeline command: a picture of records, watermarks and windows on the axes of time.

It reads topics and writes a file. It joins no group and changes nothing in Kafka.
"""
