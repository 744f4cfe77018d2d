"""What a job writes to its standard output and error, kept with the job."""

from __future__ import annotations

import contextlib
import copy
import os

from redis import Redis

from rq_leveldb.records import output_key

__all__ = ['Capture']

# Seconds for which the output of a running job is kept: longer than the pauses between two writes.
_RUNNING_TTL = 24 * 3600


class Capture:
    """Collects the output of one child.

    Args:
        limit: bytes to keep, the last ones.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tail = bytearray()
        self._left_out = 0
        self._changed = False
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)

    def forked(self) -> None:
        """Close what only the child needs, in the parent."""
        os.close(self.write_end)
        self.write_end = -1

    def drain(self) -> bool:
        """Take in what has been written so far.

        Returns:
            Whether more can come.
        """
        while True:
            try:
                chunk = os.read(self.read_end, 65536)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not chunk:
                return False
            self._changed = True
            self._tail += chunk
            excess = len(self._tail) - self._limit
            if excess > 0:
                self._left_out += excess
                del self._tail[:excess]

    def cut(self) -> Capture:
        """Return what was collected of a job that is over, without a pipe; what comes now is the next job's."""
        self.drain()
        cut = copy.copy(self)
        cut.read_end = -1
        self._tail, self._left_out, self._changed = bytearray(), 0, False
        return cut

    def save(self, connection: Redis, job_id: str) -> None:
        """Write new output to the store while the job runs."""
        if not self._changed:
            return
        connection.set(output_key(job_id), self._text(), ex=_RUNNING_TTL)
        self._changed = False

    def finish(self, connection: Redis, job_id: str, job_key: str) -> None:
        """Write the remaining output, to be kept as long as the job."""
        self.drain()
        if not self._tail:
            return
        milliseconds = connection.pttl(job_key)
        if milliseconds == -2:
            connection.delete(output_key(job_id))
        else:
            connection.set(output_key(job_id), self._text(), px=milliseconds if milliseconds > 0 else None)
        self._changed = False

    def _text(self) -> bytes:
        if not self._left_out:
            return bytes(self._tail)
        return b'[the first %d bytes were left out]\n' % self._left_out + self._tail

    def close(self) -> None:
        """Close the parent's end."""
        for descriptor in (self.read_end, self.write_end):
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self.read_end = self.write_end = -1
