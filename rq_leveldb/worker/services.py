"""Processes that live beside the worker, such as the HTTP front: what one has to be, and who keeps them alive."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from rq_leveldb.process import pidfd_open

from .loop import Loop
from .site import Site

__all__ = ['OnDemand', 'Service', 'Services']

_PATIENCE = 5.0


class Service(Protocol):
    """A process that is kept alive; its methods are called from the supervisor's loop and must not block.

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
        """Handle the end of the process, which has been reaped.

        Args:
            status: what waitpid(2) returned.

        Returns:
            Seconds until it is to be started again; None for never.
        """

    def is_misplaced(self) -> bool:
        """Say whether the process must be restarted, since its lock is no longer where others look for it."""

    def stop(self) -> None:
        """Ask the process to end; after five seconds it is killed."""


@runtime_checkable
class OnDemand(Protocol):
    """What a service has that runs only while somebody needs it; called from the supervisor's loop as well."""

    def listener(self) -> int | None:
        """Return the descriptor that is readable when the service is needed; None if it does not wait for that now."""

    def leave(self) -> None:
        """Close what it has open, in a process that was forked off, or because the worker ends."""


class Services:
    """Keeps the services of one worker alive.

    Args:
        site: whose log says when one does not start.
        services: the services.
        loop: where they are watched.
        stops: whether the worker is about to end, so that none is started any more.
    """

    def __init__(self, site: Site, services: Sequence[Service], loop: Loop, stops: Callable[[], bool]) -> None:
        self._site = site
        self._services = services
        self._loop = loop
        self._stops = stops
        self._running: dict[int, tuple[Service, int | None]] = {}
        self._waiting: dict[int, Service] = {}

    @property
    def pids(self) -> list[int]:
        """The processes."""
        return list(self._running)

    def start(self) -> None:
        """Start them."""
        for service in self._services:
            self._start(service)

    def _start(self, service: Service) -> None:
        if self._stops():
            return
        try:
            pid = service.start()
        except Exception:
            self._site.log.exception('%s did not start', service.name)
            pid = None
        if pid is None:
            self._wait(service)
            return
        descriptor = pidfd_open(pid)
        self._running[pid] = (service, descriptor)
        if descriptor is not None:
            self._loop.watch(descriptor, lambda: self._ended(pid))

    def _wait(self, service: Service) -> None:
        """Start a service when it is needed, or try it again."""
        descriptor = service.listener() if isinstance(service, OnDemand) else None
        if descriptor is None:
            self._loop.after(service.retry, lambda: self._start(service))
            return
        self._waiting[descriptor] = service
        self._loop.watch(descriptor, lambda: self._start(self._wait_no_more(descriptor)))

    def _wait_no_more(self, descriptor: int) -> Service:
        self._loop.unwatch(descriptor)
        return self._waiting.pop(descriptor)

    def look(self) -> None:
        """Restart services whose data directory was removed or replaced."""
        for service, _ in self._running.values():
            if self._is_misplaced(service):
                service.stop()
        for descriptor, service in list(self._waiting.items()):
            if self._is_misplaced(service):
                self._wait_no_more(descriptor)
                self._start(service)

    def _is_misplaced(self, service: Service) -> bool:
        if not service.is_misplaced():
            return False
        self._site.log.warning('the data directory was removed or replaced; restarting %s', service.name)
        return True

    def reap(self) -> None:
        """See which have ended; only needed where the system has no pidfd."""
        for pid in list(self._running):
            self._ended(pid)

    def _ended(self, pid: int) -> None:
        if pid not in self._running:
            return
        reaped, status = os.waitpid(pid, os.WNOHANG)
        if reaped == 0:
            return
        service, descriptor = self._running.pop(pid)
        if descriptor is not None:
            self._loop.unwatch(descriptor)
            os.close(descriptor)
        if self._stops():
            # It was asked to end.
            return
        delay = service.on_exit(status)
        if delay is not None:
            self._loop.after(delay, lambda: self._start(service))

    def leave(self) -> None:
        """Close the descriptors, in a process that was forked off."""
        for _, descriptor in self._running.values():
            if descriptor is not None:
                os.close(descriptor)
        self._leave_services()

    def _leave_services(self) -> None:
        for service in self._services:
            if isinstance(service, OnDemand):
                service.leave()

    def ask_to_end(self) -> None:
        """Tell them to end."""
        for descriptor in list(self._waiting):
            self._wait_no_more(descriptor)
        for service, _ in self._running.values():
            service.stop()
        self._leave_services()

    def wait_for_the_end(self) -> None:
        """Wait until all have ended; kill those that take longer than five seconds."""
        self._wait_patiently()
        for pid in list(self._running):
            os.kill(pid, signal.SIGKILL)
        # A process that cannot even be killed (a dead disk) must not keep the worker from ending.
        self._wait_patiently()

    def _wait_patiently(self) -> None:
        end = time.monotonic() + _PATIENCE
        while self._running and time.monotonic() < end:
            self._loop.run_once(0.1)
            self.reap()
