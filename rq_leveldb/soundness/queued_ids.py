"""Which ids are in the queues, in 8 bytes each: a set of a million would take 100 MB."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from hashlib import blake2b

__all__ = ['QueuedIds']


class QueuedIds:
    """Digests of ids.

    They have 64 bits. Among a million ids, another one is taken for one of them once in 10 ** 13 times.
    """

    def __init__(self) -> None:
        self._digests = array('Q')

    def __contains__(self, job_id: bytes) -> bool:
        digest = _digest(job_id)
        at = bisect_left(self._digests, digest)
        return at < len(self._digests) and self._digests[at] == digest

    def add(self, job_ids: Iterable[bytes]) -> None:
        """Add ids; `seal` has to follow before anything is looked for.

        Args:
            job_ids: the ids.
        """
        self._digests.extend(map(_digest, job_ids))

    def seal(self) -> set[int]:
        """Make the ids ready to be looked for.

        Returns:
            What `are_twice` needs: the digests that are there more than once.
        """
        self._digests = array('Q', sorted(self._digests))
        return {one for one, other in zip(self._digests, self._digests[1:], strict=False) if one == other}

    @staticmethod
    def are_twice(job_ids: Iterable[bytes], twice: set[int]) -> set[bytes]:
        """Return those ids that were added more than once.

        Args:
            job_ids: some ids.
            twice: what `seal` has returned.
        """
        return {job_id for job_id in job_ids if _digest(job_id) in twice}


def _digest(job_id: bytes) -> int:
    return int.from_bytes(blake2b(job_id, digest_size=8).digest(), 'little')
