"""One file, one defense."""
