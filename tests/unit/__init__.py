"""Everything but the core that needs no broker: bytes, settings, metrics, the loop, the command lines."""
