"""What a model decided on a set: threat models, the worst case, comparisons."""
