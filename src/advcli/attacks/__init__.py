"""One file, one attack."""
