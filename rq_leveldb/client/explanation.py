"""What a person is told if a server, or the way to it, is why a command failed: what it means, and what to do.

The codes are those that Redis and Valkey reply with; redis-py removes some of them and raises an error of its own
class instead, and in a pipeline it puts a text of its own before them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from redis import exceptions

__all__ = ['Explanation', 'explain']


class Explanation(NamedTuple):
    """An error in words.

    Args:
        what: what is wrong, without a full stop.
        advice: what to do about it.
    """

    what: str
    advice: str


# The first that fits counts: by the class of the error, or by what its text has. {} is the text.
_TABLE: tuple[tuple[tuple[type[Exception], ...], str, str, str], ...] = (
    (
        (),
        r'^(NOAUTH|Authentication required|HELLO must be called with the client already authenticated)',
        'The server asks for a password',
        'Write it into RQ_LEVELDB_URL: redis://USER:PASSWORD@HOST:PORT/DB, where USER may be left out.',
    ),
    (
        (exceptions.AuthenticationError,),
        r'^(WRONGPASS|invalid username-password)',
        'The server does not accept this user or password',
        'Check both. In a URL write @ / : % of a password as %40 %2F %3A %25.',
    ),
    (
        (exceptions.NoPermissionError,),
        r'^NOPERM',
        'The server does not permit this: {}',
        'docs/moving.rst lists the rights that the user in the URL needs.',
    ),
    (
        (exceptions.ClusterError, exceptions.MovedError),
        r'^(MOVED|CLUSTERDOWN|CROSSSLOT|SELECT is not allowed in cluster mode)',
        'The server is part of a Redis Cluster, and RQ needs all of its keys on one server',
        'Name a server that does not run in cluster mode.',
    ),
    (
        (),
        r'^(DB index is out of range|invalid DB index)',
        'The server has no database of this number',
        'Name another one in the URL. They count from 0; the setting databases of the server says how many there are.',
    ),
    (
        (exceptions.ReadOnlyError,),
        r'^(READONLY|MASTERDOWN)',
        'The server is a replica and takes no writes',
        'Name its primary in the URL.',
    ),
    (
        (exceptions.OutOfMemoryError,),
        r'^OOM',
        'The server has reached its memory limit and takes no writes',
        'Raise its setting maxmemory, or delete jobs. Do not let it evict keys.',
    ),
    ((exceptions.BusyLoadingError,), r'^LOADING', 'The server is still loading its data', 'Try again in a moment.'),
    (
        (),
        r'^MISCONF',
        'The server cannot save its data and takes no writes: {}',
        'Usually the disk is full; the log of the server says more.',
    ),
    (
        (),
        r'^NOREPLICAS',
        'The server has too few replicas and takes no writes',
        'Its setting min-replicas-to-write says how many it needs.',
    ),
    ((), r'^BUSY ', 'A script keeps the server busy', 'Try again in a moment, or end the script with SCRIPT KILL.'),
    (
        (),
        r'^max number of clients reached',
        'The server takes no more connections',
        'Raise its setting maxclients, or see with CLIENT LIST who has them.',
    ),
    (
        (),
        r'^DENIED',
        'The server only talks to clients on its own machine (protected mode)',
        'Set a password there, and write it into the URL.',
    ),
    (
        (),
        r'CERTIFICATE_VERIFY_FAILED',
        'The certificate of the server cannot be verified: {}',
        'Name the certificate of who signed it: rediss://HOST/0?ssl_ca_certs=/path/to/ca.pem',
    ),
    (
        (),
        r'\[SSL|WRONG_VERSION_NUMBER',
        'The connection cannot be encrypted: {}',
        'A server without TLS on this port has a URL that begins with redis://, not rediss://.',
    ),
    (
        (exceptions.InvalidResponse,),
        r'^Protocol error',
        'What answers there is not a Redis server',
        'Check the host and the port in the URL.',
    ),
)
_PIPELINE = re.compile(r'^Command # \d+ \(.*\) of pipeline caused error: ', re.DOTALL)


def explain(error: Exception) -> Explanation | None:
    """Return what an error means; None for one that is about a single command or value.

    Args:
        error: any that redis-py raises.
    """
    if not isinstance(error, exceptions.RedisError):
        return None
    text = _PIPELINE.sub('', str(error))
    for classes, pattern, what, advice in _TABLE:
        if isinstance(error, classes) or re.search(pattern, text):
            return Explanation(what.format(text), advice)
    if isinstance(error, exceptions.TimeoutError):
        return Explanation(
            f'The server does not answer: {text}',
            'Is this its URL? A server without TLS has a URL that begins with redis://, not rediss://.',
        )
    if isinstance(error, exceptions.ConnectionError):
        return Explanation(text, 'Is the server running, and is this its URL?')
    return None
