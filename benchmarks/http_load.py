"""Requests over a few connections that are kept: `python -m benchmarks.http_load JSON` prints what it measured.

A process of its own, with one loop and no HTTP library, so that it takes as little of the machine as it can.
"""

from __future__ import annotations

import json
import selectors
import socket
import statistics
import sys
import time
from dataclasses import dataclass, field


@dataclass
class Connection:
    """One connection: at most one request is under way."""

    sock: socket.socket
    received: bytearray = field(default_factory=bytearray)
    sent_at: float = 0.0
    left: int = -1


@dataclass
class Load:
    """What is sent, and how fast.

    Args:
        port: of the service, on 127.0.0.1.
        request: all bytes of one request.
        connections: how many connections.
        seconds: for how long.
        rate: requests a second in all; None for as many as it takes.
    """

    port: int
    request: bytes
    connections: int
    seconds: float
    rate: float | None = None

    def run(self) -> dict[str, float]:
        """Return the rate that was reached and the latencies in milliseconds; raises where an answer is not 2xx."""
        selector = selectors.DefaultSelector()
        idle = []
        for _ in range(self.connections):
            sock = socket.create_connection(('127.0.0.1', self.port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(sock)
            selector.register(sock, selectors.EVENT_READ, connection)
            idle.append(connection)
        latencies: list[float] = []
        began = time.perf_counter()
        due = began
        end = began + self.seconds
        while (now := time.perf_counter()) < end:
            while idle and (self.rate is None or due <= now):
                connection = idle.pop()
                # With a rate, time counts from when the request was due: waiting for a connection is waiting too.
                connection.sent_at = now if self.rate is None else due
                connection.sock.sendall(self.request)
                if self.rate is not None:
                    due += 1 / self.rate
            wait = 1.0 if self.rate is None or not idle else max(0.0, due - now)
            for key, _ in selector.select(min(wait, end - now)):
                if self._receive(key.data):
                    latencies.append(time.perf_counter() - key.data.sent_at)
                    idle.append(key.data)
        took = time.perf_counter() - began
        latencies.sort()
        if len(latencies) < 2:
            raise TimeoutError(f'{len(latencies)} answers in {took:.1f} seconds')
        cuts = statistics.quantiles(latencies, n=100)
        return {'rate': len(latencies) / took, 'median': cuts[49] * 1000, 'p99': cuts[98] * 1000}

    @staticmethod
    def _receive(connection: Connection) -> bool:
        data = connection.sock.recv(65536)
        if not data:
            raise ConnectionError('the service closed a connection')
        connection.received += data
        if connection.left < 0:
            end = connection.received.find(b'\r\n\r\n')
            if end < 0:
                return False
            head = bytes(connection.received[:end]).lower()
            if not head.startswith(b'http/1.1 2'):
                raise ConnectionError(bytes(connection.received[:500]).decode('utf-8', 'replace'))
            length = int(head.split(b'content-length:')[1].split(b'\r\n')[0])
            connection.left = end + 4 + length
        if len(connection.received) < connection.left:
            return False
        connection.received.clear()
        connection.left = -1
        return True


def main() -> None:
    task = json.loads(sys.argv[1])
    task['request'] = task['request'].encode()
    print(json.dumps(Load(**task).run()))


if __name__ == '__main__':
    main()
