"""Workers that may be alive, beside which jobs must not be carried away or brought in."""

from __future__ import annotations

from rq_leveldb.cli import render

__all__ = ['living_workers']


def living_workers(url: str) -> dict[str, str]:
    """Return the names of a place's workers that may be alive.

    Args:
        url: the place.

    Returns:
        Of each, what is to be said of it; '' where it is surely alive.
    """
    from rq_leveldb.cli.workers_seen import read_workers
    from rq_leveldb.client.connection import Redis
    from rq_leveldb.lookup import find_workers
    from rq_leveldb.worker.liveness import is_surely_dead, subscribed

    found: dict[str, str] = {}
    with Redis.from_url(url) as connection:
        names = find_workers(connection).names
        listening = subscribed(connection, names)
        for worker in read_workers(connection, names):
            if worker.name in listening:
                found[worker.name] = ''
            elif worker.is_there and not is_surely_dead(connection, worker.name, worker.identity):
                left = max(0, int(connection.ttl(worker.key)))
                found[worker.name] = f'; if it has died, its registration ends in {render.duration(left)}'
    return found
