"""One file, one training recipe: a per-sample loss, owned by no loop."""
