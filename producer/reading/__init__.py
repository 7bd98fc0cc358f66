"""A file to rows: encodings, CSV dialects, numbers and times; each row is good, skipped or rejected with its line.

Only `source` and `spool` open files; the others are pure: bytes and text come in as arguments.
The room imports nothing else of the producer, so that whatever reads a CSV reads it in the same way.
"""
