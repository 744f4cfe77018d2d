"""The worker: RQ's jobs, one forked process each, at most N at once. A client of the store like any other."""

from __future__ import annotations

from .services import Service
from .settings import Settings
from .worker import Worker

__all__ = ['Service', 'Settings', 'Worker']
