"""Wait for what no event tells."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from redis.exceptions import ConnectionError


def until(condition: Callable[..., Any], seconds: float = 30.0) -> Any:
    """Return the first true value; what happens in another process' child can only be looked for.

    Args:
        condition: called without arguments; a lambda's defaults may bind a loop's variable.
        seconds: how long to wait.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            value = condition()
        except ConnectionError:
            # The store was killed while it answered.
            value = None
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError('it did not happen in time')
