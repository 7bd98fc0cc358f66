"""Turns a file into rows: encodings, CSV dialects, numbers, times. A row is good, skipped, or rejected with its line.

Only `source` and `spool` open files. The others are pure: bytes and text are arguments.
The room imports nothing else of the producer, so that every program that reads a CSV can use it.
"""
