"""Guards against faults of Kafka's client and brokers, one file a fault.

Each file says which fault it is, how it was seen, and when the guard can go.
A guard is told about clients and time by its caller, and knows no settings.
"""
