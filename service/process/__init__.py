"""How a process begins, is asked to stop, and ends.

Both programs use it, and it uses nothing of theirs.
Nothing here may wait: not for Kafka, and not for a reader of the log.
"""
