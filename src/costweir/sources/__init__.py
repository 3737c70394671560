"""Readers of bills, and the meaning of their lines. A row is stored, skipped with a count, or quarantined (law L7)."""
