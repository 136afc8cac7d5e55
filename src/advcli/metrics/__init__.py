"""One file, one metric of `evaluate`."""
