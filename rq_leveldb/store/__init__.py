"""The store: Redis' data types on LevelDB behind a unix socket. Imports neither rq nor redis."""
