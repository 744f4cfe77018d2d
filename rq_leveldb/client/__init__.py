"""Clients of the store: redis-py's own, with a connection that starts the store where none runs."""
