"""What txwatch knows about time, sums and anomalies.

Pure: nothing here imports Kafka, reads a clock, starts a thread, logs or does I/O.
Records and an explicit ``now_ms`` go in; effects come out.
Whatever runs this code (service, benchmark, property test) therefore gets the same answers from the same arguments.
"""
