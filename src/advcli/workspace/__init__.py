"""The user's folder: the files that a command reads and writes there, and where they came from."""
