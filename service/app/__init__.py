"""The composition root: it reads the settings and builds everything from them.

Only this room has both settings and clients; every other room gets plain values.
Waiting for the broker, creating topics, signals and the end of the process belong here.
"""
