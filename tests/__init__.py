"""Everything that checks txwatch, and the real broker that checks, demo and benchmarks share."""
