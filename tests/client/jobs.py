"""Functions that the tests of the client run as jobs."""

from __future__ import annotations

import os


def add(left: int, right: int) -> int:
    return left + right


def process_id() -> int:
    return os.getpid()
