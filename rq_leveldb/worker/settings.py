"""What a worker of this package can be told beyond what RQ's worker is told."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from rq.utils import import_attribute

from rq_leveldb.process import most_processes, usable_cores

from .keep import Keep

__all__ = ['Hook', 'NamedHook', 'Settings', 'default_max_children']

Hook = Callable[[], object]

_MOST_DIGITS = 20
_LARGEST_OUTPUT = 512 << 20


@dataclass(frozen=True)
class NamedHook:
    """A function of the application that is imported where it is called, and not in the supervisor.

    Args:
        name: its dotted name.
    """

    name: str

    def resolve(self) -> Hook:
        """Return the function; raises whatever importing it raises."""
        function: Hook = import_attribute(self.name)
        return function

    def __call__(self) -> object:
        """Call it."""
        return self.resolve()()


def default_max_children() -> int:
    """Return RQ_LEVELDB_MAX_CHILDREN, else the number of cores that this process may use, a container's quota included.

    Raises:
        ValueError: the variable is set to something that is not a number of 0 or more.
    """
    number = _number_in('RQ_LEVELDB_MAX_CHILDREN', 0)
    return math.ceil(usable_cores()) if number is None else number


def default_jobs_per_child() -> int:
    """Return RQ_LEVELDB_JOBS_PER_CHILD, else 1.

    Raises:
        ValueError: the variable is set to something that is not a number of 1 or more.
    """
    return _number_in('RQ_LEVELDB_JOBS_PER_CHILD', 1) or 1


def _number_in(variable: str, least: int) -> int | None:
    text = os.environ.get(variable, '')
    if not text:
        return None
    # Python does not read thousands of digits.
    if not text.isdecimal() or len(text) > _MOST_DIGITS or int(text) < least:
        raise ValueError(f'{variable} must be a number of {least} or more, not {text[:_MOST_DIGITS]!r}')
    return int(text)


@dataclass
class Settings:
    """The worker's settings.

    Args:
        max_children: how many jobs run at once; 0 takes none.
        grace: seconds that running jobs get after the first stop signal; None for as long as they take.
        kill_after: seconds between SIGTERM and SIGKILL for a child that has to go.
        requeue_abandoned: put a job whose process went away back into its queue, instead of using up a retry or
            failing it: the first time at the front, then behind the others and after a pause that grows.
        max_crashes: how many times in a row a job may take its process down.
        job_memory: bytes of memory per job; None for no limit. A job's `meta['job_memory']` comes first.
        keep_finished, keep_failed: how many ended jobs are kept, or for how long, within RQ's lifetimes.
        capture_output: bytes of a job's output to keep with it, the last ones; 0 for none.
        preload: import in the parent what the jobs turn out to need.
        jobs_per_child: how many jobs a process may run, one after the other, before it is replaced.
        child_memory: bytes of resident memory beyond which a process is replaced after its job; None for no limit.
        imports: modules to import before forking, in the process that forks.
        reload: load them again when their files are edited; needs the package watchfiles.
        before_first_fork, before_fork, after_fork: functions to call, the last in the child with its job at hand.
    """

    max_children: int = field(default_factory=default_max_children)
    grace: float | None = None
    kill_after: float = 2.0
    requeue_abandoned: bool = False
    max_crashes: int = 3
    job_memory: int | None = None
    keep_finished: list[Keep] = field(default_factory=list)
    keep_failed: list[Keep] = field(default_factory=list)
    capture_output: int = 0
    preload: bool = False
    jobs_per_child: int = field(default_factory=default_jobs_per_child)
    child_memory: int | None = None
    imports: list[str] = field(default_factory=list)
    reload: bool = False
    before_first_fork: list[Hook] = field(default_factory=list)
    before_fork: list[Hook] = field(default_factory=list)
    after_fork: list[Hook] = field(default_factory=list)

    def check(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: one makes no sense; which, and why.
        """
        if self.max_children < 0:
            raise ValueError('max_children must be 0 or more')
        most = most_processes()
        if self.max_children > most:
            raise ValueError(
                f'max_children is {self.max_children:,}, but not more than {most:,} processes fit into the memory of '
                'this machine'
            )
        if self.grace is not None and not 0 <= self.grace < math.inf:
            raise ValueError(f'grace must be 0 seconds or more, not {self.grace}; leave it out for no limit')
        if not 0 <= self.capture_output <= _LARGEST_OUTPUT:
            raise ValueError(
                f'capture_output must be from 0 to {_LARGEST_OUTPUT >> 20} MiB, the largest value of a key, '
                f'not {self.capture_output >> 20} MiB'
            )
        if self.jobs_per_child < 1:
            raise ValueError(f'jobs_per_child must be 1 or more, not {self.jobs_per_child}')
        if self.child_memory is None:
            return
        if self.child_memory < 1:
            raise ValueError(f'child_memory must be a positive number of bytes, not {self.child_memory}')
        if self.jobs_per_child == 1:
            raise ValueError(
                'child_memory needs jobs_per_child of 2 or more, since a process ends anyway after one job'
            )
        there_is = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
        if self.child_memory > there_is:
            raise ValueError(
                f'child_memory is {self.child_memory >> 20} MiB, more than the {there_is >> 20} MiB of this machine: '
                'no process would ever be replaced'
            )

    @property
    def imports_anything(self) -> bool:
        """Whether the process that forks has to import something of the application before it can do its work."""
        hooks = (*self.before_first_fork, *self.before_fork, *self.after_fork)
        return bool(self.imports) or any(isinstance(hook, NamedHook) for hook in hooks)
