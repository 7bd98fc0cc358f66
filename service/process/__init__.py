"""How a process starts (variables, files, limits), is asked to stop, and ends.

Both programs use this room; it imports nothing from either.
Nothing here waits for Kafka, or without a time limit for a reader of the log.
"""
