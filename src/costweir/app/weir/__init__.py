"""The gateway beside the server: its own process, what it is told, and what is fetched from it."""
