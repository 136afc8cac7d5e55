"""The verbs: files to files, plain functions."""
