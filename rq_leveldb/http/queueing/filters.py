"""What a list of jobs can be narrowed by, as parameters of a request."""

from __future__ import annotations

from collections.abc import Mapping

from rq_leveldb.http.request import fields
from rq_leveldb.http.request.fields import Field
from rq_leveldb.jobs.listing import CURSOR_PATTERN, TIMES, read_cursor

__all__ = ['CURSOR', 'FILTERS']

FILTERS: Mapping[str, Field] = {
    'queue': fields.text(500).described('Only jobs of this queue.'),
    'function': fields.text(500).described('Only jobs that call this function.'),
    'worker': fields.text(500).described('Only jobs that this worker ran last.'),
    'output': fields.text(200).described('Only jobs whose captured output has this text, in any case.'),
    'error_type': fields.text(500).described('Only jobs that failed with this type of error.'),
    'search': fields.text(200).described(
        'Only jobs that have this text in their id, function, description, arguments, worker or error; in any case.'
    ),
    'since': fields.moment.described('Only from this time on.'),
    'until': fields.moment.described('Only before this time.'),
    'time': fields.choice(*TIMES).described(
        'Which time `since` and `until` refer to; the default depends on the state.'
    ),
}
"""For a query or a body; as `listed` takes them."""

CURSOR = fields.text(1000, CURSOR_PATTERN, 'is not a cursor from this service').then(read_cursor)
"""Where a page begins."""
