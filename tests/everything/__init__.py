"""What needs more than Python: `./test --everything` runs it, and so does CI."""
