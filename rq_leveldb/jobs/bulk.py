"""Changing many jobs in few round trips, each as RQ's own methods change it.

RQ's methods say what to write: they collect it in a pipeline. A script then writes it job by job, but only if the job
is still as it was read. The others are left to RQ's methods alone, which then decide what becomes of them. A script is
one step: whoever is killed, no job is half changed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.client import Pipeline
from redis.commands.core import Script
from redis.exceptions import ConnectionError as StoreConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as StoreTimeoutError

__all__ = ['SLICE', 'Change', 'Guard', 'Outcome', 'attempt', 'carry_out']

SLICE = 50
"""Most jobs that are changed at once; nobody else is served meanwhile."""

# Bytes of one script's arguments, after which it gets no more jobs.
_MOST_BYTES = 1 << 20

# ARGV has for each job the number of guards and of writes; then for each guard its reply, its length and the command,
# and for each write its length and the command.
_SOURCE = """
    local outcomes = {}
    local at = 1
    while at <= #ARGV do
        local guards, writes = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
        at = at + 2
        local is_same = true
        for _ = 1, guards do
            local last = at + 1 + ARGV[at + 1]
            if is_same then
                is_same = tostring(redis.pcall(unpack(ARGV, at + 2, last)) or '') == ARGV[at]
            end
            at = last + 1
        end
        local outcome = is_same and 1 or 0
        for _ = 1, writes do
            local last = at + ARGV[at]
            if is_same then
                local reply = redis.pcall(unpack(ARGV, at + 1, last))
                if outcome == 1 and type(reply) == 'table' and reply.err then
                    outcome = reply.err
                end
            end
            at = last + 1
        end
        outcomes[#outcomes + 1] = outcome
    end
    return outcomes
"""

Outcome = Exception | None
"""What RQ raised; None if the job was changed."""


@dataclass(frozen=True)
class Guard:
    """A command whose reply says whether a job is as it was read; the last one may write.

    Args:
        command: the command and its arguments.
        reply: what it has to reply, as text; empty for nothing.
    """

    command: tuple[Any, ...]
    reply: str


class Change(ABC):
    """What is done to one job."""

    @abstractmethod
    def collect(self, pipe: Pipeline) -> Sequence[Guard]:
        """Let RQ's methods write into a pipeline; return what has to hold for that, or nothing: it must be done alone.

        Args:
            pipe: a pipeline that is not executed.
        """

    @abstractmethod
    def do_alone(self) -> None:
        """Let RQ's method do it."""


def carry_out(connection: Redis, changes: Iterable[Change]) -> list[Outcome]:
    """Carry out changes in their order.

    Args:
        connection: the store.
        changes: what to do to which jobs.

    Returns:
        What became of each.

    Raises:
        StoreConnectionError: the store is gone.
        StoreTimeoutError: it does not answer.
    """
    script = connection.register_script(_SOURCE)
    outcomes: list[Outcome] = []
    for part in _slices(connection, changes):
        replies = iter(_run(script, [collected for _, collected in part if isinstance(collected, list)]))
        for change, collected in part:
            outcome = next(replies) if isinstance(collected, list) else collected
            outcomes.append(attempt(change.do_alone) if isinstance(outcome, _Alone) else outcome)
    return outcomes


class _Alone:
    """Says that RQ's method has to be called for a job."""


_ALONE = _Alone()
_Arguments = list[Any]
_Collected = _Arguments | _Alone | Exception


def _slices(connection: Redis, changes: Iterable[Change]) -> Iterator[list[tuple[Change, _Collected]]]:
    part: list[tuple[Change, _Collected]] = []
    size = 0
    for change in changes:
        collected = _collect(connection, change)
        part.append((change, collected))
        size += _size(collected) if isinstance(collected, list) else 0
        # A job that is changed alone comes after those before it, and before those behind it.
        if len(part) == SLICE or size > _MOST_BYTES or collected is _ALONE:
            yield part
            part, size = [], 0
    if part:
        yield part


def _size(arguments: _Arguments) -> int:
    return sum([len(argument) for argument in arguments if type(argument) is bytes or type(argument) is str])


def _collect(connection: Redis, change: Change) -> _Collected:
    """Return the script's arguments for a job."""
    pipe = connection.pipeline()
    try:
        guards = change.collect(pipe)
    except (StoreConnectionError, StoreTimeoutError):
        raise
    except Exception as error:
        return error
    # An application's own class may have used the pipeline in ways that do not fit into a script.
    if not guards or pipe.scripts or pipe.watching or pipe.explicit_transaction:
        pipe.reset()
        return _ALONE
    writes = _joined([command for command, _ in pipe.command_stack])
    arguments: _Arguments = [len(guards), len(writes)]
    for guard in guards:
        arguments += (guard.reply, len(guard.command), *guard.command)
    for command in writes:
        arguments += (len(command), *command)
    return arguments


def _joined(commands: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return commands with one HSET in place of several that follow one another, which take the store longer."""
    joined: list[tuple[Any, ...]] = []
    for command in commands:
        if joined and command[:2] == joined[-1][:2] and command[0] == 'HSET':
            joined[-1] += command[2:]
        else:
            joined.append(command)
    return joined


def _run(script: Script, jobs: Sequence[_Arguments]) -> list[Outcome | _Alone]:
    if not jobs:
        return []
    arguments = [argument for job in jobs for argument in job]
    try:
        found = script(args=arguments)
    except ResponseError:
        # A server that runs no scripts, or none for this user. RQ's methods do without.
        return [_ALONE] * len(jobs)
    meaning: dict[Any, Outcome | _Alone] = {0: _ALONE, 1: None}
    return [meaning[one] if one in meaning else ResponseError(one.decode('utf-8', 'replace')) for one in found]


def attempt(do: Callable[[], object]) -> Outcome:
    """Do something with one job, and return what RQ raised.

    Args:
        do: does it.

    Raises:
        StoreConnectionError: the store is gone.
        StoreTimeoutError: it does not answer.
    """
    try:
        do()
    except (StoreConnectionError, StoreTimeoutError):
        raise
    except Exception as error:
        # Whatever it raises of the records that belong to the job.
        return error
    return None
