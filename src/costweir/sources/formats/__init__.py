"""The bill formats: each one says how it is recognised by content and what its columns mean."""
