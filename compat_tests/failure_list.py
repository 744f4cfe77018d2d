"""Lists of tests of other projects that fail on the store: lines under headings that begin with ``==``, the reason."""

from __future__ import annotations

from pathlib import Path


def read(name: str) -> dict[str, str]:
    """Return by line its reason.

    Args:
        name: of a file beside this module; what stands before its first heading is for people.
    """
    found: dict[str, str] = {}
    reason = ''
    for line in Path(__file__).with_name(name).read_text().splitlines():
        if line.startswith('== '):
            reason = line[3:]
        elif line and reason:
            found[line] = reason
    return found
