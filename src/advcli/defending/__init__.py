"""Fitting a defense, setting its threshold, filtering files."""
