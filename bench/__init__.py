"""Repeatable measurements on a real broker, each against its floor in the same run."""
