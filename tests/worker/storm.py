"""A storm: all kinds of jobs on several workers, while processes are killed, stopped and paused at random.

What was acknowledged is judged when it is over: `Summary`.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import statistics
import subprocess
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import psutil
import storm_jobs
from redis.exceptions import ConnectionError, TimeoutError
from rq import Callback, Queue, Repeat, Retry
from rq.command import send_stop_job_command
from rq.exceptions import NoSuchJobError
from rq.group import Group
from rq.job import Dependency, Job, JobStatus

from rq_leveldb.client.autostart import running_store
from rq_leveldb.location import DataDirectory
from tests.until import until
from tests.worker.support import Workers, family, patiently

FINAL = (JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED)
_WORKERS = 3
# A job's process may begin and end it while the signal that follows its worker's death is on its way, seconds.
_DYING = 0.5
_BACKLOG = 40
_SOON = timedelta(seconds=1)


@dataclass
class Run:
    """One run of one job, as its trace tells.

    Args:
        began: when, by the monotonic clock.
        pid: in which process.
        began_at: number of the line that said so.
    """

    began: float
    pid: int
    began_at: int
    ended: float | None = None
    ended_at: int | None = None
    program_at: int | None = None


@dataclass
class Summary:
    """What became of the jobs.

    Args:
        lost: acknowledged jobs that the store does not know.
        stuck: jobs that did not come to an end, with what is known of them.
        unlisted: jobs with an end that are in no registry, or have repeats left.
        doubled: jobs that ran to their end too often, although nothing was killed or stopped meanwhile.
        excused: jobs that did so after a kill.
        at_once: jobs of which two runs, or a run and an older one's program, were there at the same time.
        silent: jobs with callbacks of which none was called.
        died: supervisors that ended otherwise than by us, with the end of their log.
        unstarted: those whose store was killed while they started: they say so and exit with 1, to be started again.
        recoveries: seconds from a kill until a job that it hit was no longer taken for running.
    """

    jobs: int = 0
    states: Counter[str] = field(default_factory=Counter)
    blows: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    excused: list[str] = field(default_factory=list)
    at_once: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    died: list[str] = field(default_factory=list)
    unstarted: list[str] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Return all that should not be."""
        kinds = ('lost', 'stuck', 'unlisted', 'doubled', 'at_once', 'silent', 'died')
        return [f'{kind}: {text}' for kind in kinds for text in getattr(self, kind)]

    def __str__(self) -> str:
        blows = ', '.join(f'{number} {name}' for name, number in sorted(self.blows.items()))
        states = ', '.join(f'{number} {name}' for name, number in sorted(self.states.items()))
        times = sorted(self.recoveries)
        lines = [
            f'blows: {blows}',
            f'{self.jobs} jobs acknowledged: {states}; {len(self.lost)} lost, {len(self.stuck)} stuck, '
            f'{len(self.unlisted)} in no registry',
            f'{len(self.doubled)} doubled without a reason, {len(self.excused)} after a kill, '
            f'{len(self.at_once)} at once',
            f'{len(self.died)} supervisors died by themselves, {len(self.unstarted)} lost their store while starting; '
            f'{len(self.silent)} jobs whose callback was not called',
        ]
        if times:
            late = times[min(len(times) - 1, int(len(times) * 0.99))]
            lines.append(
                f'recovery of {len(times)} jobs that were hit: p50 {statistics.median(times):.2f} s, p99 {late:.2f} s, '
                f'longest {times[-1]:.2f} s'
            )
        return '\n'.join(lines)


class Storm:
    """Enqueues in the calling thread and strikes from another one.

    Args:
        workers: what starts workers.
        queue: where the jobs go.
        directory: for the trace and the logs.
        seed: of what happens; the machine adds its own chance.
        long: also pauses that last longer than RQ's time-outs.
        set_clock: sets the time of day of stores and workers to so many seconds from the true one; None for never.
    """

    def __init__(
        self,
        workers: Workers,
        queue: Queue,
        directory: Path,
        seed: int,
        *,
        long: bool = False,
        set_clock: Callable[[int], None] | None = None,
    ) -> None:
        self._workers = workers
        self._queue = queue
        self._directory = directory
        self._store = DataDirectory(Path(workers.url.removeprefix('leveldb://')))
        self._chance = random.Random(seed)
        self._blow_chance = random.Random(seed + 1)
        self._long = long
        self._set_clock = set_clock
        self._trace = directory / 'trace'
        self._trace.touch()
        self._names = (f'storm{number}' for number in count())
        self._ids = count()
        self._alive: dict[str, subprocess.Popen[str]] = {}
        self._struck: set[int] = set()
        self._paused: set[int] = set()
        # Just before and just after.
        self._kills: list[tuple[float, float]] = []
        self._history: list[tuple[float, str]] = []
        self._hit: dict[str, tuple[float, int]] = {}
        self._over = threading.Event()
        self._kinds: dict[str, str] = {}
        self._expected: dict[str, int] = {}
        self._to_stop: set[str] = set()
        self._told: set[str] = set()
        self._stray: list[BaseException] = []
        self.summary = Summary()

    def run(self, seconds: float) -> Summary:
        """Let it blow for so long, wait until it has settled, and judge."""
        os.environ[storm_jobs.TRACE] = str(self._trace)
        for _ in range(_WORKERS):
            self._launch()
        thread = threading.Thread(target=self._blow)
        thread.start()
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                self._enqueue_some()
                self._stop_some()
                self._look_at_the_hit()
                self._replace_the_dead()
        finally:
            self._over.set()
            thread.join()
        if self._stray:
            raise self._stray[0]
        self._settle()
        self._judge()
        return self.summary

    # Workers

    def _launch(self) -> None:
        name = next(self._names)
        arguments = ('--max-children', '3', '--import', 'storm_jobs')
        log = self._directory / f'{name}.log'
        self._alive[name] = self._workers.launch(*arguments, name=name, log=log)

    def _replace_the_dead(self) -> None:
        for name, process in list(self._alive.items()):
            if process.poll() is None:
                continue
            del self._alive[name]
            if process.pid not in self._struck:
                text = (self._directory / f'{name}.log').read_text()
                started = 'subscribing to channel' in text
                kind = self.summary.died if started or 'the server running' not in text else self.summary.unstarted
                kind.append(f'{name} exited with {process.returncode}:\n{text[-2000:]}')
            self._launch()

    # Jobs

    def _enqueue_some(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            if self._queue.count > _BACKLOG:
                time.sleep(0.05)
                return
        kind = self._chance.choice(list(_KINDS))
        # Where the store was killed before it answered, the job may be there or not, and both are right.
        with contextlib.suppress(ConnectionError, TimeoutError):
            _KINDS[kind](self, kind)
        time.sleep(self._chance.uniform(0, 0.02))

    def enqueue(self, kind: str, function: Any, *arguments: Any, ends: int = 1, **options: Any) -> Job:
        """Enqueue one job, and expect it to end so many times."""
        job_id = f'{kind}{next(self._ids)}'
        retry = options.pop('retry', Retry(max=5) if self._chance.random() < 0.7 else None)
        delay = options.pop('delay', None)
        options.update(job_id=job_id, retry=retry, result_ttl=-1, failure_ttl=-1)
        if delay is not None:
            job = self._queue.enqueue_in(delay, function, *arguments, **options)
        else:
            job = self._queue.enqueue(function, *arguments, **options)
        self.acknowledge(job_id, kind, ends)
        return job

    def acknowledge(self, job_id: str, kind: str, ends: int) -> None:
        """Note that the store has said that it has this job."""
        self._kinds[job_id] = kind
        self._expected[job_id] = ends

    def enqueue_group(self, kind: str) -> None:
        """Enqueue several jobs as a group."""
        ids = [f'{kind}{next(self._ids)}' for _ in range(3)]
        data = [
            Queue.prepare_data(storm_jobs.work, job_id=job_id, result_ttl=-1, failure_ttl=-1, retry=Retry(max=5))
            for job_id in ids
        ]
        Group.create(connection=self._queue.connection).enqueue_many(self._queue, data)
        for job_id in ids:
            self.acknowledge(job_id, kind, 1)

    def enqueue_chain(self, kind: str) -> None:
        """Enqueue a job and two that wait for it, however it ends."""
        parent = self.enqueue(kind, storm_jobs.work, 0.3)
        for _ in range(2):
            self.enqueue(kind, storm_jobs.work, depends_on=Dependency([parent], allow_failure=True))

    def enqueue_to_be_stopped(self, kind: str) -> None:
        """Enqueue a job that takes long, and stop it once it runs."""
        self._to_stop.add(self.enqueue(kind, storm_jobs.work, 4.0, retry=None).id)

    def _stop_some(self) -> None:
        for job_id in list(self._to_stop):
            try:
                job = Job.fetch(job_id, connection=self._queue.connection)
                if job.get_status(refresh=False) == JobStatus.STARTED:
                    # The command is lost with the connection that should have brought it: said again the next time.
                    send_stop_job_command(self._queue.connection, job_id)
                elif job.get_status(refresh=False) in FINAL:
                    self._to_stop.discard(job_id)
            except (ConnectionError, TimeoutError):
                continue
            except Exception:
                # It has just ended.
                self._to_stop.discard(job_id)

    # Blows

    def _blow(self) -> None:
        try:
            while not self._over.wait(self._blow_chance.uniform(0.05, 0.5)):
                with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                    self._strike()
        except BaseException as error:
            self._stray.append(error)

    def _strike(self) -> None:
        chance = self._blow_chance
        if self._set_clock is not None and chance.random() < 0.1:
            self._note('jump of the clock', 0)
            self._set_clock(chance.randint(-3 * 3600, 3 * 3600))
            return
        target = chance.choice(['worker', 'worker', 'forker', 'child', 'child', 'store'])
        pid = self._find(target)
        if pid is None:
            return
        blows = [self._kill, self._kill, self._pause]
        if target == 'worker':
            blows += [self._stop, self._stop_twice]
        chance.choice(blows)(target, pid)

    def _find(self, target: str) -> int | None:
        if target == 'store':
            running = running_store(self._store)
            return running[0].pid if running is not None else None
        worker = self._blow_chance.choice(list(self._alive.values()))
        if target == 'worker':
            return worker.pid
        below = family(worker.pid)
        chosen = [one.pid for one in below if (one.ppid() == worker.pid) == (target == 'forker')]
        begun = self._begun().keys() & set(chosen)
        if begun and self._blow_chance.random() < 0.7:
            # Among those that wait for a job, and they are most, there is nothing to lose.
            return self._blow_chance.choice(sorted(begun))
        return self._blow_chance.choice(chosen) if chosen else None

    def _kill(self, target: str, pid: int) -> None:
        if target == 'worker':
            self._struck.add(pid)
        self._note(f'kill -9 of a {target}', pid)
        self._strike_down(pid, signal.SIGKILL)

    def _begun(self) -> dict[int, str]:
        """Return the processes and jobs that have begun and not ended, as far as the last lines tell."""
        with self._trace.open('rb') as file:
            file.seek(max(0, self._trace.stat().st_size - 32768))
            lines = [line.split() for line in file.read().decode().splitlines()[1:]]
        ended = {line[3] for line in lines if line[1] == 'end'}
        return {int(line[3]): line[2] for line in lines if line[1] == 'begin' and line[3] not in ended}

    def _note(self, name: str, pid: int) -> None:
        self.summary.blows[name] += 1
        self._history.append((time.monotonic(), f'{name} ({pid})'))

    def _strike_down(self, pid: int, number: int) -> None:
        hit = {pid, *(process.pid for process in family(pid))}
        before = time.monotonic()
        os.kill(pid, number)
        now = time.monotonic()
        self._kills.append((before, now))
        for process, job_id in self._begun().items():
            if process in hit and not job_id.startswith(('failing', 'flaky', 'later', 'leaving', 'suicidal')):
                self._hit.setdefault(job_id, (now, process))

    def _look_at_the_hit(self) -> None:
        """See which of the jobs that were hit are no longer taken for running, or run again."""
        if not self._hit:
            return
        begun = {job_id: process for process, job_id in self._begun().items()}
        for job_id, (moment, process) in list(self._hit.items()):
            try:
                status = self._queue.connection.hget(f'rq:job:{job_id}', 'status')
            except (ConnectionError, TimeoutError):
                return
            if status != b'started' or begun.get(job_id, process) != process:
                self.summary.recoveries.append(time.monotonic() - moment)
                self._hit.pop(job_id, None)

    def _stop(self, target: str, pid: int) -> None:
        self._struck.add(pid)
        self._note('stop of a worker', pid)
        os.kill(pid, signal.SIGTERM)

    def _stop_twice(self, target: str, pid: int) -> None:
        self._struck.add(pid)
        os.kill(pid, signal.SIGTERM)
        # Within a second it would be taken for an echo.
        time.sleep(1.1)
        self._note('second stop of a worker', pid)
        self._strike_down(pid, signal.SIGTERM)

    def _pause(self, target: str, pid: int) -> None:
        seconds = self._blow_chance.uniform(0.1, 1.5)
        if self._long and self._blow_chance.random() < 0.03:
            seconds = 95.0
        self._note(f'pause of a {target}' + (' for 95 s' if seconds > 90 else ''), pid)
        process = psutil.Process(pid)
        process.suspend()
        try:
            self._over.wait(seconds)
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    # The end

    def _settle(self) -> None:
        if self._set_clock is not None:
            # Later than any jump: what was scheduled while the clock was ahead is due.
            self._set_clock(4 * 3600)
        self._replace_the_dead()
        deadline = time.monotonic() + 40

        def over() -> bool:
            self._stop_some()
            self._look_at_the_hit()
            self._replace_the_dead()
            return all(self._status(job_id) in (*FINAL, None) for job_id in self._kinds)

        with contextlib.suppress(AssertionError):
            until(over, deadline - time.monotonic())
        for process in self._alive.values():
            process.send_signal(signal.SIGTERM)
            self._struck.add(process.pid)
        for name, process in self._alive.items():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                text = (self._directory / f'{name}.log').read_text()
                self.summary.died.append(f'{name} does not stop:\n{text[-2000:]}')
        self._alive.clear()

    def _status(self, job_id: str) -> JobStatus | None:
        value = patiently(lambda: self._queue.connection.hget(f'rq:job:{job_id}', 'status'))
        return JobStatus(value.decode()) if value else None

    def _judge(self) -> None:
        summary = self.summary
        summary.jobs = len(self._kinds)
        runs, told = self._read_trace()
        finished = set(self._queue.finished_job_registry.get_job_ids(cleanup=False))
        failed = set(self._queue.failed_job_registry.get_job_ids(cleanup=False))
        for job_id in self._kinds:
            try:
                job = Job.fetch(job_id, connection=self._queue.connection)
            except NoSuchJobError:
                summary.lost.append(job_id)
                continue
            status = job.get_status()
            summary.states[status.value] += 1
            if status not in FINAL:
                summary.stuck.append(self._describe(job, runs[job_id]))
                continue
            registry = finished if status == JobStatus.FINISHED else failed
            if job_id not in registry or (status == JobStatus.FINISHED and job.repeats_left):
                summary.unlisted.append(self._describe(job, runs[job_id]))
            if job_id.startswith('callback') and job_id not in told and not self._was_killed(job):
                summary.silent.append(self._describe(job, runs[job_id]))
            self._judge_runs(job, runs[job_id])
        # Not by their own counts, which clean up first.
        for name, registry in (
            ('started', self._queue.started_job_registry),
            ('deferred', self._queue.deferred_job_registry),
            ('scheduled', self._queue.scheduled_job_registry),
        ):
            number = self._queue.connection.zcard(registry.key)
            if number and not summary.stuck:
                summary.stuck.append(f'{number} entries for jobs that are {name}, and none is')

    @staticmethod
    def _was_killed(job: Job) -> bool:
        """Say whether its process alone was killed: RQ calls no callback then."""
        result = job.latest_result()
        return result is not None and 'Work-horse terminated' in (result.exc_string or '')

    def _judge_runs(self, job: Job, runs: list[Run]) -> None:
        summary = self.summary
        ends = sum(run.ended is not None for run in runs)
        if ends > self._expected[job.id]:
            first, last = runs[0].began, runs[-1].began
            # Whoever writes down the end may have been hit between that and the record of it; a pause is no reason.
            excused = any(before <= last and after >= first - _DYING for before, after in self._kills)
            (summary.excused if excused else summary.doubled).append(self._describe(job, runs))
        for before, after in pairwise(runs):
            traces = [line for line in (before.ended_at, before.program_at) if line is not None]
            if any(line > after.began_at for line in traces):
                summary.at_once.append(self._describe(job, runs))

    def _read_trace(self) -> tuple[dict[str, list[Run]], set[str]]:
        runs: dict[str, list[Run]] = defaultdict(list)
        told: set[str] = set()
        for number, line in enumerate(self._trace.read_text().splitlines()):
            moment, what, job_id, pid = line.split()
            if what == 'begin':
                runs[job_id].append(Run(float(moment), int(pid), number))
            elif what == 'told':
                told.add(job_id)
            else:
                run = next(run for run in reversed(runs[job_id]) if run.pid == int(pid))
                if what == 'end':
                    run.ended, run.ended_at = float(moment), number
                else:
                    run.program_at = number
        return runs, told

    def _describe(self, job: Job, runs: list[Run]) -> str:
        said = ', '.join(f'{run.began:.2f}-{run.ended or 0:.2f} ({run.pid})' for run in runs)
        result = job.latest_result()
        reason = (result.exc_string or '').strip().splitlines()[-1:] if result is not None else []
        lines = [
            f'{job.id}: {job.get_status().value}, retries left {job.retries_left}, repeats left {job.repeats_left}, '
            f'runs {said or "none"}, {reason}, worker {job.worker_name}'
        ]
        # What happened at that time, and what the workers said of it.
        first, last = (runs[0].began, runs[-1].began) if runs else (0.0, 0.0)
        lines += [f'  {moment:.2f} {text}' for moment, text in self._history if first - 1 <= moment <= last + 3]
        for log in sorted(self._directory.glob('*.log')):
            lines += [f'  {log.stem}: {line}' for line in log.read_text().splitlines() if job.id in line]
        return '\n'.join(lines)


_KINDS: dict[str, Callable[[Storm, str], object]] = {
    'plain': lambda storm, kind: storm.enqueue(kind, storm_jobs.work),
    'slow': lambda storm, kind: storm.enqueue(kind, storm_jobs.work, 1.0),
    'failing': lambda storm, kind: storm.enqueue(kind, storm_jobs.fail, retry=None),
    'flaky': lambda storm, kind: storm.enqueue(kind, storm_jobs.fail_first, 6, retry=Retry(max=6)),
    'later': lambda storm, kind: storm.enqueue(kind, storm_jobs.fail_first, 6, retry=Retry(max=6, interval=1)),
    'repeated': lambda storm, kind: storm.enqueue(kind, storm_jobs.work, ends=3, repeat=Repeat(times=2)),
    'chain': Storm.enqueue_chain,
    'group': Storm.enqueue_group,
    'callback': lambda storm, kind: storm.enqueue(
        kind,
        storm_jobs.work,
        0.05,
        on_success=Callback(storm_jobs.on_success),
        on_failure=Callback(storm_jobs.on_failure),
    ),
    'large': lambda storm, kind: storm.enqueue(kind, storm_jobs.large, 'x' * 200_000, 200_000),
    'leaving': lambda storm, kind: storm.enqueue(kind, storm_jobs.leave, retry=Retry(max=1)),
    'suicidal': lambda storm, kind: storm.enqueue(kind, storm_jobs.kill_itself, retry=Retry(max=1)),
    'program': lambda storm, kind: storm.enqueue(kind, storm_jobs.program, 0.8),
    'scheduled': lambda storm, kind: storm.enqueue(kind, storm_jobs.work, delay=_SOON),
    'stopped': Storm.enqueue_to_be_stopped,
}
