"""What one worker does once in a while, beside taking jobs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from .cron import WorkerCron
from .depths import Depths
from .duties import Duties
from .history import History
from .nursery import Nursery
from .performing import PerformingWorker
from .ready import enqueue_ready
from .recovery import Recovery
from .retention import Retention
from .scheduler import InProcessScheduler
from .services import Services
from .settling import Settling
from .stopping import Stopping
from .tally import Tally

__all__ = ['Routine']

_HEARTBEAT = 5.0
_HISTORY = 5.0
_DEPTHS = 10.0
# RQ's rule: a job that ignores its time-out is killed a minute later.
_DEAF = 60.0
# A thousand idle queues must cost less than half a percent of a core.
_SMALL_SHARE = 0.0005


class Routine:
    """The duties of one worker.

    Args:
        worker: the worker, whose methods are called as RQ's worker calls them.
        cron: its cron definitions; None if it has none.
        nursery: where its jobs run.
        settling: where their ends are written down.
        services: what it keeps alive.
        tally: what it counts.
        history: what it adds up, for all workers.
        recovery: what finds dead workers.
        stopping: whether it is about to end.
        take_back: puts lost jobs back, where some may have been lost.
        look_for_pauses: called to find out whether queues or all workers are to rest for now.
        look_again: called when there may be work in the queues.
    """

    def __init__(
        self,
        worker: PerformingWorker,
        cron: WorkerCron | None,
        nursery: Nursery,
        settling: Settling,
        services: Services,
        tally: Tally,
        history: History,
        recovery: Recovery,
        stopping: Stopping,
        take_back: Callable[[], None],
        look_for_pauses: Callable[[], None],
        look_again: Callable[[], None],
    ) -> None:
        self._worker = worker
        self._site = worker.site
        self._cron = cron
        self._nursery = nursery
        self._settling = settling
        self._services = services
        self._recovery = recovery
        self._stopping = stopping
        self._look_again = look_again
        self._duties = duties = Duties(self._site.log)
        own_queues = [queue.name for queue in self._site.queues]
        # In this order.
        duties.add('writing down ends of jobs', 0.0, settling.attempt)
        duties.add('taking back lost jobs', 0.0, take_back)
        duties.add('looking for pauses', 0.0, look_for_pauses)
        duties.add('scheduling jobs', 0.0, self._step_scheduler, _SMALL_SHARE)
        duties.add('running cron', 0.0, self._step_cron)
        duties.add('enqueueing dependents', 0.0, lambda: self.enqueue_ready(own_queues), _SMALL_SHARE)
        if self._site.settings.capture_output:
            duties.add('saving output', 0.0, self._save_output)
        duties.add('counting', 0.0, tally.flush)
        duties.add('adding to the history', _HISTORY, history.fold)
        duties.add('noting how many jobs wait', _DEPTHS, Depths(self._site).note)
        duties.add('the heartbeat', _HEARTBEAT, self._heartbeat)
        duties.add("the jobs' heartbeats", 0.0, self._heartbeat_jobs)
        duties.add('looking after services', _HEARTBEAT, services.look)
        duties.add('maintenance', 0.0, self.maintain)
        self._retention = Retention(self._site)
        if self._retention:
            duties.add('removing old jobs', 0.0, self._remove_old_jobs)
        if os.getpid() == 1:
            duties.add('reaping', 0.0, self._reap_strangers)

    def run(self) -> None:
        """Do what is due.

        Raises:
            RedisError: the store is away or takes no writes; what was not done is done at the next call.
        """
        self._duties.run()

    def maintain(self) -> None:
        """Run RQ's maintenance, if it is time for that."""
        if self._worker.should_run_maintenance_tasks and not self._stopping.has_begun:
            self._worker.run_maintenance_tasks()

    def enqueue_ready(self, names: list[str] | None = None) -> None:
        """Enqueue the dependents that RQ has left in ready registries.

        Args:
            names: of the queues; None for all.
        """
        if enqueue_ready(self._site, names):
            self._look_again()

    def recover(self) -> None:
        """Recover what dead workers had."""
        if self._recovery.run():
            self._look_again()
            if isinstance(self._worker.scheduler, InProcessScheduler):
                self._worker.scheduler.others_died()

    def check_children(self) -> None:
        """Kill from outside what does not heed its time-out, or takes too long over another job's end."""
        for child in self._nursery.running:
            if child.assignment is None or child.stop_reason:
                continue
            seconds = child.assignment.job.timeout
            if isinstance(seconds, int) and 0 < seconds < child.seconds() - _DEAF:
                child.late = True
                child.kill(signal.SIGKILL)
        self._settling.check()

    def _remove_old_jobs(self) -> None:
        if not self._stopping.has_begun:
            self._retention.step()

    def _step_scheduler(self) -> None:
        scheduler = self._worker.scheduler
        if isinstance(scheduler, InProcessScheduler) and not self._stopping.has_begun:
            scheduler.step()

    def _step_cron(self) -> None:
        if self._cron is not None and not self._stopping.has_begun:
            self._cron.step()

    def _save_output(self) -> None:
        for child in self._nursery.running:
            if child.capture is not None:
                child.capture.save(self._site.connection, child.job_id)

    def _heartbeat(self) -> None:
        if self._worker.heart.beat():
            # What it said about its jobs is gone too.
            for child in self._nursery.running:
                child.next_heartbeat = 0.0

    def _heartbeat_jobs(self) -> None:
        clock = time.monotonic()
        for child in self._nursery.running:
            if child.assignment is not None and clock >= child.next_heartbeat:
                child.next_heartbeat = clock + self._site.job_monitoring_interval
                self._worker.maintain_heartbeats(child.assignment.job, child.assignment.execution)

    def _reap_strangers(self) -> None:
        """Reap orphans that the kernel gave to process 1 of a container; our own processes have their owners."""
        own = {*self._nursery.forker_pids, *self._services.pids}
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None or found.si_pid in own:
                return
            os.waitpid(found.si_pid, os.WNOHANG)
