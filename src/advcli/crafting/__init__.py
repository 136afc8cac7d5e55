"""The run of one attack command: resolving it, running it, first stages."""
