"""The limit of open files, and the number of clients that it allows.

Some descriptors are reserved: without a free one the store can neither begin a new log of its database nor sync one,
and cannot even tell the next client why it is refused.
"""

from __future__ import annotations

import resource

from rq_leveldb import errors

MAX_CLIENTS = 10_000
FREE = 12
"""Reserved for LevelDB, which opens files as it runs, and for a client that is being refused."""
RESERVED = 20 + FREE
"""Including what a store has open before its first client."""


def raise_limit() -> None:
    """Raise the limit of open files as far as clients need it and the system allows.

    Raises:
        errors.StoreError: it is too low for any client.
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
    """Return whether a descriptor is one of the reserved ones.

    Args:
        descriptor: a new one; the system gives the lowest free number.
    """
    return descriptor >= _limits()[0] - FREE


def _limits() -> tuple[int, int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = MAX_CLIENTS + RESERVED
    return hard if soft == resource.RLIM_INFINITY else soft, hard
