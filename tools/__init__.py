"""What `./demo` and `./test` are made of; `launch` and what it imports need only the standard library."""
