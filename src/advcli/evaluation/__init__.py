"""The evaluation of models on sets: decisions, threat models, the worst case, comparisons."""
