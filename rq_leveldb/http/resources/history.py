"""What ended and waited when: for a day by the minute, for thirty days by the hour."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, TypedDict

from rq_leveldb.http.documents.values import from_seconds
from rq_leveldb.http.request import fields
from rq_leveldb.http.routing.route import Call, Route
from rq_leveldb.jobs.history import Numbers, read_history
from rq_leveldb.jobs.moment import Moment, timestamp

__all__ = ['routes']

_STEPS = {'1m': 60, '5m': 300, '15m': 900, '1h': 3600, '6h': 21600, '1d': 86400}
_STEP = fields.choice(*_STEPS)
_MEAN = 'Mean time of all of them; null if there are none.'
_QUERY = {
    'step': fields.Field(_STEP.read, {**_STEP.schema, 'default': '1m'}).described(
        'Length of an item: below an hour there are those of a day, from an hour on those of thirty days.'
    ),
    'since': fields.moment.described('Only from this time on; by default all that is kept.'),
    'queue': fields.text(500).described('Only jobs of this queue.'),
    'function': fields.text(500).described('Only jobs that call this function.'),
}


class _Ended(TypedDict):
    """Runs of jobs that ended."""

    finished: int
    failed: Annotated[int, 'Stopped ones included.']
    retried: Annotated[int, 'Runs after which the job was put back, to run again.']
    mean_wait_seconds: Annotated[float | None, _MEAN]
    mean_duration_seconds: Annotated[float | None, _MEAN]


class EndedInStepDocument(_Ended):
    """Runs of jobs that ended in one step."""

    at: Annotated[Moment, 'When it begins.']
    most_waiting: Annotated[
        int | None, 'How many jobs waited at most, as far as a worker saw it; null for those of one function.'
    ]


class EndedByNameDocument(_Ended):
    """Runs of jobs of one queue or function that ended."""

    name: Annotated[str | None, 'Null for all those beyond the number that is counted by name.']


class HistoryDocument(TypedDict):
    """What ended from a time until now, as far as workers of rq-leveldb ran it."""

    since: Moment
    step_seconds: int
    items: Annotated[list[EndedInStepDocument], 'Without those in which nothing ended or waited.']
    queues: Annotated[list[EndedByNameDocument], 'The same by queue, those with the most first.']
    functions: Annotated[list[EndedByNameDocument], 'The same by function.']


def show_history(call: Call) -> HistoryDocument:
    """Show how many jobs ended and waited when, and how long they waited and ran."""
    wanted = call.query
    step = _STEPS[wanted['step']]
    since = wanted['since'].timestamp() if 'since' in wanted else None
    found = read_history(call.backend.connection, step, since, time.time(), wanted.get('queue'), wanted.get('function'))
    return {
        'since': _moment(found.begin),
        'step_seconds': step,
        'items': [
            {
                'at': _moment(at),
                'most_waiting': None if 'function' in wanted else found.waiting.get(at, 0),
                **_ended(found.steps.get(at, Numbers())),
            }
            for at in sorted({*found.steps, *found.waiting})
        ],
        'queues': [{'name': name, **_ended(numbers)} for name, numbers in found.queues.items()],
        'functions': [{'name': name, **_ended(numbers)} for name, numbers in found.functions.items()],
    }


def _ended(numbers: Numbers) -> _Ended:
    return {
        'finished': numbers.finished,
        'failed': numbers.failed,
        'retried': numbers.retried,
        'mean_wait_seconds': _mean(numbers.waited, numbers.runs),
        'mean_duration_seconds': _mean(numbers.ran, numbers.runs),
    }


def _mean(milliseconds: int, runs: int) -> float | None:
    return round(milliseconds / runs / 1000, 6) if runs else None


def _moment(seconds: int) -> str:
    return timestamp(from_seconds(seconds)) or ''


def routes() -> Sequence[Route]:
    """Return the routes."""
    return (Route('GET', '/v1/history', show_history, query=_QUERY),)
