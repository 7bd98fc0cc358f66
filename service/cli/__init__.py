"""The commands: arguments go in, an exit code comes out.

Each command has one file, and `main` lists them all.
A command reads the settings, calls the rooms below and prints; it never imports confluent_kafka.
"""
