"""Slowing down wrong tokens, separately for each address."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

__all__ = ['Tries', 'network_of']

_AT_ONCE = 10
"""Tries that are free; each second brings another."""

_MOST_ADDRESSES = 1000
_MOST_WAITING = 2
_WAIT = 0.5


class Tries:
    """How many wrong tokens an address may still send before it has to wait.

    Args:
        clock: seconds, growing.
        sleep: waits for seconds.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        # When all tries will be back, for each address that has used some; the oldest use first.
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()
        # Threads that wait here are not available for requests.
        self._places = threading.BoundedSemaphore(_MOST_WAITING)

    def take(self, address: str) -> float:
        """Use up a try; to be called before a token is looked at, since several may come at a time.

        Args:
            address: of the client.

        Returns:
            0; or, where none is left, the seconds until there is another.
        """
        key = network_of(address)
        now = self._clock()
        with self._lock:
            full_at = max(self._full_at.pop(key, now), now)
            missing = full_at - now - (_AT_ONCE - 1)
            self._full_at[key] = full_at if missing > 0 else full_at + 1
            if len(self._full_at) > _MOST_ADDRESSES:
                self._full_at.popitem(last=False)
        return max(missing, 0.0)

    def give_back(self, address: str) -> None:
        """Take back a try: the token was right.

        Args:
            address: of the client.
        """
        key = network_of(address)
        with self._lock:
            if key in self._full_at:
                self._full_at[key] -= 1

    def hold_up(self) -> None:
        """Let this thread wait a little, unless enough others already do."""
        if self._places.acquire(blocking=False):
            try:
                self._sleep(_WAIT)
            finally:
                self._places.release()


def network_of(address: str) -> str:
    """Return the part of an address that identifies a client: of IPv6, the first half, since it can choose the rest.

    Args:
        address: an IP address; anything else is returned as it is.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    # A client over IPv4 of a socket for both: RFC 4291, section 2.5.5.2.
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped is not None else str(ipaddress.ip_network((parsed, 64), strict=False))
