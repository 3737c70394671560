"""The FOCUS 1.2 requirement model as data, and the validator that reads it."""
