"""Everything that service/ says to Kafka. Nothing outside this folder and bootstrap imports confluent_kafka."""
