"""Doing something with many jobs: which they are, whether that is meant, and what came of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import click
from rq.job import Job

from rq_leveldb.cli import render
from rq_leveldb.cli.progress import Progress
from rq_leveldb.jobs.bulk import SLICE
from rq_leveldb.jobs.listing import listed, stored_ids
from rq_leveldb.lookup import Seen, Strange, find_queues, see_jobs
from rq_leveldb.reading import Reader

__all__ = ['Refused', 'change', 'choose', 'confirm', 'report']

_SHOWN = 20


class Refused(Exception):
    """It cannot be done with this job; says why."""


def choose(
    connection: Any,
    reader: Reader,
    states: Iterable[str],
    wanted: Mapping[str, Any],
    *,
    with_stopped: bool = False,
    job_class: type[Job] = Job,
) -> tuple[list[str], bool]:
    """Find all jobs that match, before the first is changed, which moves the others. What is no list is named.

    Of the jobs in a registry the oldest come first.

    Args:
        connection: the store.
        reader: reads the jobs.
        states: the states, of `jobs.states.STATES`.
        wanted: what to narrow them by, as for `listed`.
        with_stopped: whether the stopped jobs come with the failed ones.
        job_class: whose keys the jobs have.

    Returns:
        Their ids, and whether all lists could be read.
    """
    strange: list[Strange] = []
    names = find_queues(connection).names
    found: list[str] = []
    for state in states:
        if wanted.keys() <= {'queue'}:
            # Reading whole jobs would take as long as changing them.
            of_queues = [wanted['queue']] if wanted else names
            found += stored_ids(connection, state, of_queues, strange, with_stopped=with_stopped, job_class=job_class)
        else:
            entries = listed(
                connection, reader, state, names, wanted, strange, oldest_first=True, with_stopped=with_stopped
            )
            found += [entry.seen.job.id for entry in entries if entry.seen is not None]
    for item in dict.fromkeys(strange):
        render.complain(f'{item.key} contains something that is not a list of jobs: {item.reason}')
    return list(dict.fromkeys(found)), not strange


def confirm(question: str) -> None:
    """Ask on the terminal; without one, nothing is done.

    Args:
        question: what is about to be done, with a question mark.

    Raises:
        Abort: the answer was no.
        UsageError: there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise click.UsageError(f'{question} Nothing was done, for there is no terminal to ask on: give --yes.')
    click.confirm(question, abort=True)


def change(
    connection: Any,
    serializer: Any,
    job_ids: Sequence[str],
    act: Callable[[Any, list[Seen]], Iterable[Exception | None]],
    job_class: type[Job] = Job,
) -> dict[str, str]:
    """Do something with jobs, many at once, and return why it could not be done, by id.

    Args:
        connection: the store.
        serializer: of the jobs.
        job_ids: which jobs.
        act: does it over the connection with some of them; returns for each why it cannot, or None.
        job_class: what the jobs become.

    Raises:
        StoreConnectionError: the store is gone.
        StoreTimeoutError: it does not answer.
    """
    failed: dict[str, str] = {}
    done = 0
    with Progress('jobs') as shown:
        for few in _slices(job_ids):
            shown.show('Jobs', done, len(job_ids))
            found = see_jobs(connection, few, serializer, job_class)
            errors = iter(act(connection, [seen for seen in found if seen is not None]))
            for job_id, seen in zip(few, found, strict=True):
                error = next(errors) if seen is not None else Refused('there is no such job')
                if error is not None:
                    failed[job_id] = str(error) or type(error).__name__
            done += len(few)
    return failed


def _slices(job_ids: Sequence[str]) -> Iterator[list[str]]:
    """Cut a list into slices, none of which has a job twice: what is said of it is said as it is then."""
    few: dict[str, None] = {}
    for job_id in job_ids:
        if len(few) == SLICE or job_id in few:
            yield list(few)
            few = {}
        few[job_id] = None
    if few:
        yield list(few)


def report(done: str, job_ids: Sequence[str], failed: Mapping[str, str], as_json: bool) -> int:
    """Print what was done, and return the exit code: 1 if it could not be done with a job.

    Args:
        done: what was done, such as `Deleted`.
        job_ids: the jobs.
        failed: why it could not be done, by id.
        as_json: for programs.
    """
    changed = [job_id for job_id in job_ids if job_id not in failed]
    if as_json:
        render.document({done.lower(): changed, 'not_done': failed})
        return 1 if failed else 0
    if len(changed) == 1:
        click.echo(f'{done} {changed[0]}.')
    elif changed or not failed:
        click.echo(f'{done} {len(changed):,} jobs.' if changed else 'Nothing to do')
    for job_id in list(failed)[:_SHOWN]:
        render.complain(f'job {job_id}: {render.cut(failed[job_id])}')
    if len(failed) > _SHOWN:
        render.complain(f'and {len(failed) - _SHOWN:,} more jobs')
    return 1 if failed else 0
