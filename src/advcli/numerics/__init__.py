"""Arithmetic without models: random draws, balls, losses, quantities, intervals."""
