"""What a configuration would have reported on history: the same tasks, detectors and memories, and tallies of them."""
