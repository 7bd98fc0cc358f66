"""Other stream processors at the same job: sums a key in windows of 10 s, exactly once, anomalies to a topic."""
