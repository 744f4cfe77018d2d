"""RQ's cron definitions, read in a process of their own: the file is the application's code.

What comes back is plain data: for each entry its schedule and the fields of the job that is to be made, as RQ's own
objects wrote them there. The worker's process imports no module of the application and loads none of its objects for
them, and a file that raises, exits or never ends does so where nobody is hurt.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from redis import Redis
from rq.cron import CronJob, CronScheduler
from rq.job import JobStatus
from rq.queue import Queue

from rq_leveldb.errors import BadCronFile
from rq_leveldb.process import die_with_parent

from . import limits, signals
from .claim import raw_fields

__all__ = ['MISSED', 'CronFile', 'Entry', 'load', 'normalize']

# What happens to a run that was missed because no worker was running.
MISSED = 'cron_missed'
_SKIP, _ONCE = 'skip', 'once'

_PATIENCE = 60.0
_PIECE = 1 << 16
_LENGTH_BYTES = 8


@dataclass(frozen=True)
class Entry:
    """One definition.

    Args:
        id: what it is, whatever file it stands in: a hash of function, arguments, queue, schedule, name and meta.
        label: how it is called in messages.
        name: RQ's name of it, under which RQ lists its jobs.
        queue: name of its queue.
        cron: when it is due; '' if it has an interval.
        interval: seconds from one run to the next; 0 if it has a cron string.
        once: whether a run that was missed is made up for, once.
        shown: what RQ's tools show of it, without times.
        fields: of the job's hash, without times; bytes as latin-1.
        ttl: seconds for which the job may wait in its queue; 0 forever.
    """

    id: str
    label: str
    name: str
    queue: str
    cron: str
    interval: float
    once: bool
    shown: dict[str, Any]
    fields: dict[str, str]
    ttl: int


@dataclass(frozen=True)
class CronFile:
    """What a file of definitions says.

    Args:
        entries: in the file's order.
        faults: what was left out, and why; one sentence each.
    """

    entries: list[Entry]
    faults: list[str]


def load(path: str, *, serializer: Any = None, log_level: str | int = 'INFO', patience: float = _PATIENCE) -> CronFile:
    """Read the definitions in a child process.

    Args:
        path: module or file as RQ's `rq cron` takes it.
        serializer: of the jobs; None for RQ's default.
        log_level: of RQ's cron scheduler.
        patience: seconds after which the file is given up.

    Raises:
        BadCronFile: it cannot be loaded, with the reason.
    """
    parent = os.getpid()
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    try:
        ours, its = os.pipe()
        pid = os.fork()
    except OSError as error:
        raise _bad(path, f'no process could be made to load it: {error}') from error
    if pid == 0:
        _be_the_child(parent, its, path, serializer, log_level)
    os.close(its)
    with contextlib.suppress(OSError):
        # Both sides do this, so that the group exists whichever runs first.
        os.setpgid(pid, pid)
    try:
        text = _read(ours, time.monotonic() + patience)
    finally:
        os.close(ours)
        status = _end(pid)
    if text is None:
        raise _bad(path, f'it was not loaded after {patience:g} seconds')
    if not text:
        raise _bad(path, f'the process that loaded it ended without a word: {limits.explain_exit(status)}')
    said = json.loads(text)
    if 'error' in said:
        raise _bad(path, said['error'])
    return CronFile([Entry(**entry) for entry in said['entries']], said['faults'])


def normalize(path: str) -> str:
    """Return the path as RQ's loader understands it: it makes a module's name of a relative one, dots included."""
    if os.path.isabs(path) or (os.sep not in path and not path.endswith('.py')):
        return path
    plain = os.path.normpath(path)
    return os.path.abspath(plain) if plain.startswith(os.pardir) else plain


def _bad(path: str, reason: str) -> BadCronFile:
    return BadCronFile(path, title=f'The cron definitions cannot be used ({reason})')


def _read(descriptor: int, deadline: float) -> bytes | None:
    """Return what the child says, b'' if it ended without, None if it takes too long."""
    received = b''
    while True:
        # Processes that it started may keep the other end open.
        if len(received) >= _LENGTH_BYTES:
            length = int.from_bytes(received[:_LENGTH_BYTES], 'big')
            if len(received) >= _LENGTH_BYTES + length:
                return received[_LENGTH_BYTES:]
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return None
        piece = os.read(descriptor, _PIECE)
        if not piece:
            return b''
        received += piece


def _end(pid: int) -> int:
    """Kill the child, if it still runs, and what it has started, and reap it."""
    status = 0
    ended = False
    with contextlib.suppress(OSError):
        # If it ended by itself, its status says how.
        ended_pid, status = os.waitpid(pid, os.WNOHANG)
        ended = ended_pid == pid
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    if not ended:
        with contextlib.suppress(OSError):
            _, status = os.waitpid(pid, 0)
    return status


# In the child


def _be_the_child(parent: int, descriptor: int, path: str, serializer: Any, log_level: str | int) -> None:
    try:
        die_with_parent(parent)
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        signals.restore_in_cron_reader()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        try:
            said = _load_here(path, serializer, log_level)
        except SystemExit as error:
            said = {'error': f'it exits, with code {error.code!r}'}
        except BaseException as error:
            said = {'error': _words(error)}
        text = json.dumps(said).encode()
        left = len(text).to_bytes(_LENGTH_BYTES, 'big') + text
        while left:
            left = left[os.write(descriptor, left) :]
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        os._exit(0)


def _load_here(path: str, serializer: Any, log_level: str | int) -> dict[str, Any]:
    # RQ's objects require a connection, but do not use it here.
    nowhere: Any = Redis(host='nowhere.invalid')
    scheduler = _DefinitionReader(nowhere, logging_level=log_level, name='reader')
    scheduler.load_config_from_file(normalize(path))
    entries: dict[str, Entry] = {}
    faults = scheduler.refused
    for definition in scheduler.get_jobs():
        try:
            entry = _describe(definition, nowhere, serializer)
            json.dumps(asdict(entry))
        except BaseException as error:
            faults.append(f'{_label(definition)} is left out: {_words(error)}')
            continue
        if entry.id in entries:
            faults.append(f'{entry.label} is there twice and runs once; give one of them another name to run both')
        entries.setdefault(entry.id, entry)
    return {'entries': [asdict(entry) for entry in entries.values()], 'faults': faults}


class _DefinitionReader(CronScheduler):
    """RQ's scheduler, which also says which definitions it has logged and left out."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.refused: list[str] = []

    def register(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> CronJob:
        try:
            return super().register(func, *args, **kwargs)
        except Exception as error:
            self.refused.append(f'{getattr(func, "__qualname__", func)} is left out: {_words(error)}')
            raise


def _describe(definition: CronJob, connection: Any, serializer: Any) -> Entry:
    options = dict(definition.job_options)
    meta = options.get('meta') or {}
    missed = meta.get(MISSED, _ONCE if definition.interval else _SKIP)
    if missed not in (_SKIP, _ONCE):
        raise ValueError(f"meta[{MISSED!r}] must be 'skip' or 'once', not {missed!r}")
    queue = Queue(definition.queue_name, connection=connection, serializer=serializer)
    options['timeout'] = options.pop('job_timeout', None)
    assert definition.func is not None
    job = queue.create_job(definition.func, args=definition.args, kwargs=definition.kwargs, **options)
    job._status = JobStatus.QUEUED
    fields = {name.decode(): value.decode('latin-1') for name, value in raw_fields(job).items()}
    for moment in ('created_at', 'enqueued_at'):
        fields.pop(moment, None)
    return Entry(
        id=_identity(definition, meta),
        label=_label(definition),
        name=definition.name,
        queue=definition.queue_name,
        cron=definition.cron or '',
        interval=definition.interval or 0,
        once=missed == _ONCE,
        shown=definition.to_dict(),
        fields=fields,
        ttl=job.ttl or 0,
    )


def _label(definition: CronJob) -> str:
    when = f'cron {definition.cron!r}' if definition.cron else f'every {definition.interval} s'
    name = f' named {definition.name!r}' if definition.name != definition.func_name else ''
    return f'{definition.func_name}{name} on {definition.queue_name} ({when})'


def _identity(definition: CronJob, meta: dict[str, Any]) -> str:
    # Times to live, and what is done about missed runs, are not part of the identity: changing them must not make the
    # entry run again.
    what = (
        definition.func_name,
        definition.name,
        definition.queue_name,
        definition.args,
        definition.kwargs,
        definition.interval,
        definition.cron,
        {name: value for name, value in meta.items() if name != MISSED},
    )
    return hashlib.sha256(_canonical(what).encode('utf-8', 'backslashreplace')).hexdigest()[:32]


def _canonical(value: Any) -> str:
    """Return a text that is the same in every process: pickle's depends on hashes and on which objects are shared."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str, bytes):
        return f'{kind.__name__} {value!r}'
    if kind in (list, tuple):
        return f'{kind.__name__}[{",".join(map(_canonical, value))}]'
    if kind in (set, frozenset):
        return f'{kind.__name__}[{",".join(sorted(map(_canonical, value)))}]'
    if kind is dict:
        pairs = sorted(f'{_canonical(key)}:{_canonical(entry)}' for key, entry in value.items())
        return f'dict[{",".join(pairs)}]'
    return f'pickle {hashlib.sha256(pickle.dumps(value, protocol=4)).hexdigest()}'


def _words(error: BaseException) -> str:
    return f'{type(error).__name__}: {error}' if str(error) else type(error).__name__
