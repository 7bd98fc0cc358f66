"""Time, sums and anomalies: everything that decides what an alert is.

Pure: nothing here imports Kafka, reads a clock, starts a thread, logs or does I/O.
Records and an explicit ``now_ms`` go in, effects come out, so the same arguments always give the same result.
"""
