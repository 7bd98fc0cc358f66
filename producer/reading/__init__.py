"""Turns a file into rows: encodings, CSV dialects, numbers, times.

A row is good, skipped, or rejected with its line.
Only `source` and `spool` open files; the other modules are pure.
Nothing here imports the rest of the producer, so every program that reads a CSV can use this room.
"""
