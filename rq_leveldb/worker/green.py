"""gevent and eventlet: what they have replaced in the standard library, and their event loops after a fork.

They replace calls that block by such as let their own loop run meanwhile. The worker's processes wait for each other,
in places where no such loop runs; and a loop that was copied by a fork still is its parent's.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Any

__all__ = ['is_eventlets', 'original', 'renew_loops']


def original(module: str, name: str) -> Any:
    """Return what a module of the standard library had under a name before anybody replaced it.

    Args:
        module: the module's name.
        name: of a function or class in it.
    """
    gevent: Any = sys.modules.get('gevent.monkey')
    if gevent is not None:
        return gevent.get_original(module, name)
    eventlet: Any = sys.modules.get('eventlet.patcher')
    if eventlet is not None:
        return getattr(eventlet.original(module), name)
    return getattr(importlib.import_module(module), name)


def is_eventlets() -> bool:
    """Say whether eventlet has replaced what waits for descriptors in this process: there is no way around that."""
    eventlet: Any = sys.modules.get('eventlet.patcher')
    return eventlet is not None and bool(eventlet.is_monkey_patched('select'))


def renew_loops() -> None:
    """Give the calling process its own loops; must be called after a fork, before any application code."""
    gevent: Any = sys.modules.get('gevent')
    if gevent is not None:
        gevent.reinit()
    eventlet: Any = sys.modules.get('eventlet.hubs')
    if eventlet is not None:
        with contextlib.suppress(Exception):
            eventlet.use_hub()
