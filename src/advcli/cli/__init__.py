"""The command line around the verbs; only this package imports typer and rich."""
