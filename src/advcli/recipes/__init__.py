"""One file, one training recipe: a per-sample loss."""
