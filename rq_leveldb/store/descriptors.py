"""How many descriptors the store may open, and how many clients that makes.

Some are kept free of clients: a store that has none left can neither begin a log of its database nor sync one, and
cannot even tell whoever comes next why it is not let in.
"""

from __future__ import annotations

import resource

from rq_leveldb import errors

MAX_CLIENTS = 10_000
FREE = 12
"""Kept for LevelDB, which opens files as it goes, and for a client that is told that it is one too many."""
RESERVED = 20 + FREE
"""With what a store has open before its first client."""


def raise_limit() -> None:
    """Let this process open what all its clients need, or as much of it as the system grants.

    Raises:
        errors.StoreError: that is too little for any.
    """
    soft, hard = _limits()
    wanted = min(MAX_CLIENTS + RESERVED, hard)
    if wanted <= RESERVED:
        raise errors.StoreError(
            str(hard),
            title='The limit of open files is too low for a store',
            advice=f'Raise it (ulimit -n, LimitNOFILE= of systemd): a store needs {RESERVED}, and one more a client.',
        )
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_clients() -> int:
    """Return how many clients may be connected; the limit may be changed while the store runs."""
    return max(0, min(MAX_CLIENTS, _limits()[0] - RESERVED))


def is_reserved(descriptor: int) -> bool:
    """Return whether it is one of those that are kept free.

    Args:
        descriptor: a new one; the system gives the lowest that is free.
    """
    return descriptor >= _limits()[0] - FREE


def _limits() -> tuple[int, int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = MAX_CLIENTS + RESERVED
    return hard if soft == resource.RLIM_INFINITY else soft, hard
