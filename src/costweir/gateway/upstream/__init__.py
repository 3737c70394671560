"""The way to a provider: which address may be dialled, the connections, and the replies."""
