"""Nonsense in any amount: for the parser, for every command, and in the place of records."""
