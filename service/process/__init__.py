"""How a process starts (variables, files, limits), is asked to stop, and ends.

Both programs use this room; it imports nothing from either.
Nothing here waits for Kafka, and no caller waits without a time limit for a reader of standard error.
"""
