"""What Kafka decides, on a real broker."""
