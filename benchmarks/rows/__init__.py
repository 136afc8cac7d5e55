"""What the five papers describe, measured on real data: one function a row of docs/rows.csv, named for it."""
