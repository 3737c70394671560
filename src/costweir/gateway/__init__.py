"""The proxy: it decides before a request is forwarded, and settles after (laws L1, L2, L9)."""
