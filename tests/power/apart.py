"""Work in a process of its own: some damaged files make LevelDB end the whole process, or never come back."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from typing import TypeVar

T = TypeVar('T')

_PATIENCE = 60
"""Seconds."""


class Ended(Exception):
    """The process ended before its work did."""


def apart(work: Callable[[], T]) -> T:
    """Call a function in a fork of this process, which must have one thread only.

    Returns:
        What it returned.

    Raises:
        Ended: it did not return: it raised, was ended by a signal, or took too long.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reading)
            signal.alarm(_PATIENCE)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            result = pickle.dumps(work())
            with open(writing, 'wb') as pipe:
                pipe.write(result)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading, 'rb') as pipe:
        data = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise Ended(f'the process was ended by {signal.Signals(-code).name}' if code < 0 else 'an unexpected error')
    returned: T = pickle.loads(data)
    return returned
