"""What an audit runs, and what may be concluded from it."""
