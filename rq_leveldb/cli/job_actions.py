"""rq-leveldb cancel, delete and retry: what is done to stored jobs, by id or to all that match."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from rq_leveldb.cli import options

if TYPE_CHECKING:
    from rq_leveldb.lookup import Seen

__all__ = ['cancel', 'delete', 'retry']

_WAITING = ('queued', 'scheduled', 'deferred')
_DELETABLE = (*_WAITING, 'failed', 'stopped', 'finished', 'canceled')

_CANCEL_EPILOG = """\b
Examples:
  rq-leveldb cancel ID
  rq-leveldb cancel --queue mail
  rq-leveldb cancel --all --yes
"""
_DELETE_EPILOG = """\b
Examples:
  rq-leveldb delete ID
  rq-leveldb delete --state failed --function app.tasks.send
  rq-leveldb delete --state finished --queue mail --yes
"""

_yes = click.option('--yes', '-y', is_flag=True, help='Do not ask before many jobs are changed.')
_queue = click.option('--queue', '-q', help='Only jobs of this queue.')
_function = click.option('--function', help='Only jobs that call this function.')


@click.command(epilog=_CANCEL_EPILOG)
@click.argument('job_ids', nargs=-1, metavar='[ID]...')
@options.url
@click.option('--all', 'everything', is_flag=True, help='All jobs that have not started.')
@_queue
@_function
@click.option('--stop', is_flag=True, help='Also stop jobs that run: their workers kill their processes.')
@click.option('--enqueue-dependents', is_flag=True, help='Let the jobs that wait for them run all the same.')
@_yes
@options.json_output
def cancel(
    job_ids: tuple[str, ...], url: str | None, everything: bool, stop: bool, enqueue_dependents: bool, **given: Any
) -> int:
    """Cancel the jobs with these IDs, or all queued, scheduled and deferred ones: --all, of a --queue, of a --function.

    A canceled job is kept: rq-leveldb retry puts it back on its queue, rq-leveldb delete removes it.
    """
    from rq.command import send_stop_job_command

    from rq_leveldb.cli.many import Refused
    from rq_leveldb.jobs.bulk import attempt
    from rq_leveldb.jobs.cancellation import cancel_many

    def refusal(seen: Seen) -> Exception | None:
        if seen.faults:
            return Refused('; '.join(map(str, seen.faults)))
        if seen.status == 'started' and not stop:
            return Refused('it runs; --stop stops it')
        if seen.status in _DELETABLE and seen.status not in _WAITING:
            return Refused(f'it is {seen.status}')
        return None

    def act(connection: Any, found: list[Seen]) -> Iterator[Exception | None]:
        # Now, since RQ's method changes the status of a job that is canceled alone.
        known = [(seen.job, refusal(seen), seen.status == 'started') for seen in found]
        waiting = [job for job, error, is_running in known if error is None and not is_running]
        outcomes = iter(cancel_many(connection, waiting, enqueue_dependents))
        for job, error, is_running in known:
            if error is None and is_running:
                error = attempt(partial(send_stop_job_command, connection, job.id, job.serializer))
            elif error is None:
                error = next(outcomes)
            yield error

    states = (*_WAITING, 'started') if stop else _WAITING
    return _do('Cancel', 'Canceled', url, job_ids, states, act, everything=everything, **given)


@click.command(epilog=_DELETE_EPILOG)
@click.argument('job_ids', nargs=-1, metavar='[ID]...')
@options.url
@click.option('--state', type=click.Choice(_DELETABLE), help='All jobs of this state.')
@_queue
@_function
@click.option('--dependents', is_flag=True, help='Also delete the jobs that depend on them.')
@_yes
@options.json_output
def delete(job_ids: tuple[str, ...], url: str | None, state: str | None, dependents: bool, **given: Any) -> int:
    """Delete the jobs with these IDs and their results, or all of a --state."""
    from rq_leveldb.cli.many import Refused
    from rq_leveldb.jobs.deletion import GONE, delete_many

    def act(connection: Any, found: list[Seen]) -> Iterator[Exception | None]:
        for error in delete_many(connection, found, dependents):
            yield Refused('it is gone') if isinstance(error, GONE) else error

    if state is None and (given['queue'] or given['function']):
        raise click.UsageError('Say which jobs with --state, such as --state failed.')
    states = () if state is None else (state,)
    return _do('Delete', 'Deleted', url, job_ids, states, act, everything=state is not None, **given)


@click.command()
@click.argument('job_ids', nargs=-1, metavar='ID...', required=True)
@options.url
@click.option('--at-front', is_flag=True, help='Put it at the front of its queue.')
@options.json_output
def retry(job_ids: tuple[str, ...], url: str | None, at_front: bool, as_json: bool) -> int:
    """Put a job that failed, was stopped or was canceled back on its queue; rq-leveldb requeue does it with many."""
    from rq_leveldb.cli.many import Refused
    from rq_leveldb.jobs.requeueing import NOT_THERE, requeue_seen

    def act(connection: Any, found: list[Seen]) -> Iterator[Exception | None]:
        statuses = [seen.status for seen in found]
        for status, error in zip(statuses, requeue_seen(connection, found, at_front), strict=True):
            yield Refused(f'it is {status}') if isinstance(error, NOT_THERE) else error

    return _do('Requeue', 'Requeued', url, job_ids, (), act, as_json=as_json)


def _do(
    verb: str,
    done: str,
    url: str | None,
    job_ids: Sequence[str],
    states: Sequence[str],
    act: Callable[[Any, list[Seen]], Iterable[Exception | None]],
    as_json: bool,
    everything: bool = False,
    yes: bool = False,
    **narrowed: str | None,
) -> int:
    from rq_leveldb.cli.many import change, choose, confirm, report
    from rq_leveldb.client.connection import Redis
    from rq_leveldb.reading import Reader

    wanted = {name: value for name, value in narrowed.items() if value is not None}
    is_many = everything or bool(wanted)
    if is_many == bool(job_ids):
        raise click.UsageError('Name jobs by id, or say which all of them are, but not both. --help has examples.')
    connection: Any = Redis.from_url(url) if url is not None else Redis()
    reader = Reader()
    is_complete = True
    if is_many:
        job_ids, is_complete = choose(connection, reader, states, wanted)
        if job_ids and not yes:
            confirm(f'{verb} {len(job_ids):,} jobs ({", ".join(states)})?')
    return report(done, job_ids, change(connection, reader, job_ids, act), as_json) or int(not is_complete)
