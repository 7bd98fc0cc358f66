"""The composition root: it reads the settings and builds everything from them.

Only this room has both settings and clients; every other room gets plain values.
Waiting for the broker, preparing the topics and running the loop belong here.
"""
