"""Networks: built from metadata, laid out for speed, stored in model files, read from foreign weights."""
