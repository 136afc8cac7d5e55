"""The shell around the verbs; the only place that knows typer and rich."""
