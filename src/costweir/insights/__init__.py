"""Pure functions over Answers."""
