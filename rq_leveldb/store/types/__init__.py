"""The structure of each of Redis' types over the database: no syntax, no replies, no bytes."""
