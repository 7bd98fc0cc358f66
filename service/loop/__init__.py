"""One turn of the service: read a batch, feed the tasks, commit what they found.

`ports` says what the loop needs of Kafka; `service.kafka` implements it, and tests use fakes.
Nothing here imports confluent_kafka, settings or HTTP, not even indirectly.
"""
