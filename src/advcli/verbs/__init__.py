"""The verbs: plain functions from files to files."""
