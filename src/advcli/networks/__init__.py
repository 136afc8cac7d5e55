"""What runs: networks built from a recipe, laid out for speed, model files, foreign weights."""
