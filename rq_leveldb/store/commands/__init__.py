"""The commands, in Redis' own groups (COMMAND DOCS): they read arguments and build replies, and know no bytes."""
