"""Dependents whose dependencies are met: enqueued at once, whoever else writes there at the same time.

RQ moves a dependent to its queue's ready registry in one transaction and to its queue in the next. Where something
else is written to that registry in between it leaves the dependent there, and its maintenance comes by every ten
minutes. Here it is seen to at every tick of a worker.
"""

from __future__ import annotations

from collections.abc import Iterable

from rq.job import JobStatus
from rq.registry import ReadyJobRegistry

from .found import all_queue_names
from .release import Source, release_due
from .site import Site

__all__ = ['enqueue_ready']


def enqueue_ready(site: Site, names: Iterable[str] | None = None) -> int:
    """Enqueue the jobs that wait in ready registries: all, or 2,000 of each queue.

    Costs one round trip where there is none, two where the queues have to be looked up.

    Args:
        site: whose connection, classes and serializer count.
        names: of the queues; None for all that RQ knows.

    Returns:
        How many entries were there.

    Raises:
        RedisError: the store went away, or takes no writes.
    """
    if names is None:
        names = all_queue_names(site)
    sources = [Source(name, ReadyJobRegistry.key_template.format(name), JobStatus.READY_TO_ENQUEUE) for name in names]
    if not sources or not site.connection.exists(*(source.key for source in sources)):
        return 0
    return sum(release_due(site, source) for source in sources)
