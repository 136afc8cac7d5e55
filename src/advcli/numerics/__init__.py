"""Arithmetic that knows no model: random draws, balls, losses, quantities, intervals."""
