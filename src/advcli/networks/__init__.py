"""Networks: built from a recipe, laid out for speed, stored in model files, read from foreign weights."""
