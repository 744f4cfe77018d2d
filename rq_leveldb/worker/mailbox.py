"""How a child tells the supervisor of its job's end: in memory that both share.

A job can close descriptors, use them up, give up its rights, change its root directory or replace `socket.socket`; a
mapping that was made before the job began outlives all of it. It is sparse: only what is written takes memory.

    0   length of what is said, 8 bytes; 0 while nothing is
    8   the values of a `Report`, pickled; read without any class or function, since a job may write all over its memory
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import pickle
import struct
import tempfile
from dataclasses import dataclass, field
from typing import Any

__all__ = ['Mailbox', 'Report', 'Slot']

# The longest string that Redis takes; a result is base64 there. Unused addresses cost nothing.
_SIZE = 512 << 20
# For processes whose address space is limited (RLIMIT_AS); all but the largest results fit.
_SMALL_SIZE = 1 << 20
_LENGTH = struct.Struct('=Q')
# Of 512 bytes; so much memory a mailbox keeps that is used again.
_MOST_BLOCKS = 256


@dataclass
class Report:
    """What a child says of its job.

    Args:
        kind: `written`: all is in the store; else what is still to be written: `success`, `retry` (the job returned
            one), `failure`, or `tried`: a failure that the child is about to write down itself; of a child that
            handles an end also `away`: the store kept it from that.
        started_at: when the job began, seconds since the epoch.
        ended_at: when it ended.
        text: the failure's traceback.
        result: what the job returned, as the job's serializer writes it; None if it returned None.
        usage: what the job used.
        retry: `max` and `interval` of the Retry that the job returned.
        module: where the job's function is, if the supervisor wants to know.
        function: the job's function, of one whose end is still to be written; '' if it was not read.
        unsure: the child tried to write it down, and cannot know whether it was carried out.
    """

    kind: str
    started_at: float = 0.0
    ended_at: float = 0.0
    text: str = ''
    result: bytes | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    retry: dict[str, Any] = field(default_factory=dict)
    module: str = ''
    function: str = ''
    unsure: bool = False


class Mailbox:
    """The supervisor's side.

    Raises:
        OSError: there are no descriptors or no memory left.
    """

    def __init__(self) -> None:
        self.descriptor = _shared_file()
        try:
            os.ftruncate(self.descriptor, _SIZE)
        except BaseException:
            self.close()
            raise

    def read(self) -> Report | None:
        """Return what the child said last; None if nothing, or nothing whole."""
        if self.descriptor < 0:
            return None
        try:
            (size,) = _LENGTH.unpack(os.pread(self.descriptor, _LENGTH.size, 0))
            if not 0 < size <= _SIZE:
                return None
            return Report(*_Plain(io.BytesIO(_read(self.descriptor, size, _LENGTH.size))).load())
        except Exception:
            # The job overwrote its memory.
            return None

    def empty(self) -> None:
        """Forget what the child said, which waits now: of its next job it says nothing yet."""
        if os.fstat(self.descriptor).st_blocks > _MOST_BLOCKS:
            os.ftruncate(self.descriptor, 0)
            os.ftruncate(self.descriptor, _SIZE)
        else:
            os.pwrite(self.descriptor, _LENGTH.pack(0), 0)

    def close(self) -> None:
        """Give it up."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Slot:
    """The child's side.

    Args:
        descriptor: the mailbox; closed here.
    """

    def __init__(self, descriptor: int) -> None:
        try:
            self._memory = mmap.mmap(descriptor, _SIZE)
        except (OSError, ValueError):
            self._memory = mmap.mmap(descriptor, _SMALL_SIZE)
        os.close(descriptor)

    def say(self, report: Report) -> bool:
        """Say how the job ended; the last word counts.

        Returns:
            Whether it was said: a result may be too large.
        """
        # Not with `dataclasses.asdict` or JSON: every page that they touch is copied in every child.
        said = pickle.dumps(tuple(report.__dict__.values()), pickle.HIGHEST_PROTOCOL)
        start = _LENGTH.size
        if start + len(said) > len(self._memory):
            return False
        # The length is written last, so that a child killed in the middle has said nothing.
        self._memory[:start] = _LENGTH.pack(0)
        self._memory[start : start + len(said)] = said
        self._memory[:start] = _LENGTH.pack(len(said))
        return True


class _Plain(pickle.Unpickler):
    """Reads numbers, text, bytes and containers of them."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse: nothing is called or imported here."""
        raise pickle.UnpicklingError(f'{module}.{name} is no plain value')


def _shared_file() -> int:
    if hasattr(os, 'memfd_create'):
        return os.memfd_create('rq-leveldb-job', os.MFD_CLOEXEC)
    descriptor, path = tempfile.mkstemp()
    with contextlib.suppress(OSError):
        os.unlink(path)
    return descriptor


def _read(descriptor: int, size: int, offset: int) -> bytes:
    chunks = []
    while size:
        chunk = os.pread(descriptor, size, offset)
        if not chunk:
            raise ValueError('cut short')
        chunks.append(chunk)
        size -= len(chunk)
        offset += len(chunk)
    return b''.join(chunks)
