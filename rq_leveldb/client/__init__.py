"""Clients of the store: redis-py's own, with a connection that starts the store if none is running."""
