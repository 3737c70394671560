"""The weir's book-keeping: what is held before a call is sent, and what became of it (laws L1, L2, L3, L8, L10)."""
