"""The five papers: scripts that make their tables and figures, and what the results show."""
