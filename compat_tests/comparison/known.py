"""Where a reply to a listed command is allowed to differ, each with its reason."""

from __future__ import annotations

# Programs of cases/ that an older Redis cannot be asked, since it answers otherwise than the model, Redis 8.2.
# By a piece of the program: the first version that answers as the model does, and what changed.
CHANGED_SINCE: dict[str, tuple[tuple[int, int], str]] = {}

# Programs that are not compared on the store, by a piece of the program: the reason. Each stands in
# docs/differences.rst too.
OURS_ALONE: dict[str, str] = {}
