"""The commands in Redis's groups (COMMAND DOCS): they read arguments and build replies, but know no byte layout."""
