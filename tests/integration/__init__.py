"""Tests on a real broker: whatever Kafka decides is decided by Kafka here."""
