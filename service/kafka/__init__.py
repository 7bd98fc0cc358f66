"""The adapters: they implement the ports of `service.loop` with confluent_kafka.

A client's error becomes an error of `service.loop.errors` here, by what the caller must do.
Nothing here reads settings or constructs a client from them: clients and callables are passed in.
"""
