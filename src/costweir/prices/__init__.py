"""The price book: what a token cost on a day, as known on a day. Unknown is never zero (laws L5, L6)."""
