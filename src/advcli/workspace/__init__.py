"""The user's folder: what a command reads and writes there, and where files came from."""
