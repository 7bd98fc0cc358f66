"""Faults on a real broker; the oracle decides."""
