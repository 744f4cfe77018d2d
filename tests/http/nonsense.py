"""Requests, and what makes nonsense of them."""

from __future__ import annotations

import random

from tests.http.support import TOKEN

REQUESTS = (
    b'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n',
    b'GET /v1/queues?limit=5 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ' + TOKEN.encode() + b'\r\n\r\n',
    b'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer '
    + TOKEN.encode()
    + b'\r\nContent-Type: application/json\r\nContent-Length: 45\r\n\r\n{"function": "http_tasks.add", "args": [1,2]}',
    b'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer '
    + TOKEN.encode()
    + b'\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n'
    b'2d\r\n{"function": "http_tasks.add", "args": [1,2]}\r\n0\r\n\r\n',
)
PIECES = (
    *(b'\r\n', b'\n', b'\x00', b'\xff', b' ', b':', b'%', b'%00', b'%ff', b'/../', b'{', b'[' * 2000, b'\t'),
    *(b'Content-Length: 18446744073709551616\r\n', b'Content-Length: -1\r\n', b'Transfer-Encoding: chunked\r\n'),
    *(b'Host: evil.example\r\n', b'Expect: 100-continue\r\n', b'Upgrade: h2c\r\n', b'X: ' + b'y' * 9000 + b'\r\n'),
    *(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', b'Cookie: a=b; rq_leveldb_session=1.2.3\r\n', b'Idempotency-Key: \xe9\r\n'),
)


def mutate(chance: random.Random, data: bytes) -> bytes:
    """Return the request with a few bytes changed, cut, doubled or put in."""
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(data) + 1)
        kind = chance.randrange(5)
        if kind == 0:
            data = data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :]
        elif kind == 1:
            data = data[:place]
        elif kind == 2:
            data = data[:place] + chance.choice(PIECES) + data[place:]
        elif kind == 3:
            end = chance.randrange(place, len(data) + 1)
            data = data[:end] + data[place:end] + data[end:]
        else:
            line = data.find(b'\r\n', place)
            data = data[: line + 2] + chance.choice(PIECES) + data[line + 2 :] if line >= 0 else data
    return data or b'\r\n'
