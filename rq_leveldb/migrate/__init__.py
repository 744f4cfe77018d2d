"""Carrying everything that RQ keeps from one place to another: leveldb://, redis://, rediss:// and unix://.

=================  ====================================================================================
`wire`             a connection on which many commands are under way
`value`            one key in slices: how it is read, written and digested; knows no place
`scope`            which keys are meant, and groups of them that fit into memory
`plan`             what there is to do, and what is in the way
`record`           what a migration writes down in its target
`growing`          a long value grows in the target until all of it is there
`moment`           a long key of the source is read as it is at one moment
`copying`          a key comes into the target whole or not at all, and the target knows that it is ours
`merging`          what becomes of a key that both places have
`verifying`        whether the target holds what the source holds
`removing`         what is verified goes from the source
`step`             some jobs go from the one place to the other, in three atomic parts
`arriving`         how they are written there, and where they come
`dependencies`     whether a job that comes into the target waits there
`related`          which jobs have to come along together
`standing`         what belongs to no job and is to be known in the target as well
`live`             the above, round after round, while both places are at work
`outcome`          what has come of it
`migration`        these steps in their order
=================  ====================================================================================
"""

from __future__ import annotations

from rq_leveldb.migrate.live import LiveMigration
from rq_leveldb.migrate.migration import Migration, Progress
from rq_leveldb.migrate.outcome import Notes, Outcome
from rq_leveldb.migrate.plan import Plan
from rq_leveldb.migrate.wire import CutConnection, Refused, RefusedPlace, Wire

__all__ = [
    'CutConnection',
    'LiveMigration',
    'Migration',
    'Notes',
    'Outcome',
    'Plan',
    'Progress',
    'Refused',
    'RefusedPlace',
    'Wire',
]
