"""One file, one source of images."""
