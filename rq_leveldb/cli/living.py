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
    from rq.worker import BaseWorker

    from rq_leveldb.client.connection import Redis
    from rq_leveldb.lookup import Fields, find_workers, replies
    from rq_leveldb.worker.liveness import IDENTITY_FIELDS, is_surely_dead, subscribed

    found: dict[str, str] = {}
    with Redis.from_url(url) as connection:
        names = find_workers(connection).names
        if not names:
            return found
        keys = [f'{BaseWorker.redis_worker_namespace_prefix}{name}' for name in names]
        pipe = connection.pipeline(transaction=False)
        for key in keys:
            pipe.hgetall(key)
        listening = subscribed(connection, names)
        for name, key, raw in zip(names, keys, replies(pipe), strict=True):
            fields = Fields(raw, key)
            said = {field: fields.text(field) or '' for field in IDENTITY_FIELDS}
            if name in listening:
                found[name] = ''
            elif raw and not is_surely_dead(connection, name, said):
                left = connection.ttl(key)
                found[name] = f'; if it has died, its registration ends in {render.duration(max(0, int(left)))}'
    return found
