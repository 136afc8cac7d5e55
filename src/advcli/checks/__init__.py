"""Trust checks: one file, one check."""
