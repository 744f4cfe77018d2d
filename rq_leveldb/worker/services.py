"""Processes that live beside the worker, such as the HTTP front: the supervisor's one hook for them."""

from __future__ import annotations

from typing import Protocol

__all__ = ['Service']


class Service(Protocol):
    """A process that the supervisor keeps alive; its methods are called from the supervisor's loop and must not block.

    Attributes:
        name: for the log.
        retry: seconds until `start` is called again when it returned None.
    """

    name: str
    retry: float

    def start(self) -> int | None:
        """Start the process.

        Returns:
            Its process id; None if it is not to run now (another worker has it).
        """

    def on_exit(self, status: int) -> float | None:
        """Learn that the process ended; the supervisor has reaped it.

        Args:
            status: what waitpid(2) returned.

        Returns:
            Seconds until it is to be started again; None for never.
        """

    def stop(self) -> None:
        """Ask the process to end; after five seconds the supervisor kills it."""
