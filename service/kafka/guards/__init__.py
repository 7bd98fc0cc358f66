"""Guards against faults of Kafka's client and brokers, one file a fault.

Each file begins with the fault and how it was seen, what we do, and when the guard can go.
A guard gets clients and clocks from its caller, and knows no settings.
"""
