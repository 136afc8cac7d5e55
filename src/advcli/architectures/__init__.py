"""One file, one family of architectures."""
