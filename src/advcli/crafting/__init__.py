"""One attack command at work: resolving it, running it, first stages."""
