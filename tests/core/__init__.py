"""The core by examples at each boundary, and by properties against an oracle: no fixtures, no sleeps, no clock."""
