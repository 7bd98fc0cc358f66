"""The mapping of the input: where a record has its id, time and amount, in which form, and which records count.

A mapping is parsed and compiled once, at the start, into one decoder. Bytes are read by typed structs only, so that
amounts stay exact. Nothing outside this folder knows paths or formats.
"""
