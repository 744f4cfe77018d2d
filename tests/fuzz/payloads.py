"""Serialized values for RESTORE, valid ones that were spoiled and arbitrary bytes, all with a right checksum.

What is restored can be read in every way, and DUMP and RESTORE give the same value again. Everything else is refused in
words, and nothing is left of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rq_leveldb.store.rdb import payload
from tests.fuzz.store import Store, request
from tests.fuzz.target import HANG, Hang, Report, limited, mutated
from tests.store.payloads import BROKEN, OLD, PAYLOADS

_CHECK = 250
"""Inputs between two looks at all records, and a new beginning."""

_VALUES = """
SET k hello
SET k 12345
RPUSH k a b 1 -5 70000
SADD k 1 2 3
SADD k a b
HSET k a 1 b 2
ZADD k 1 a 2.5 b -inf c
XADD k 1-1 a 1 b 2
"""
_GROUPS = """
XADD k 1-1 a 1
XADD k 1-2 a 2
XADD k 2-1 b 3 c 4
XGROUP CREATE k g 0
XREADGROUP GROUP g c COUNT 2 STREAMS k >
XGROUP CREATECONSUMER k g d
"""
_READERS = {
    b'string': 'GET k',
    b'list': 'LRANGE k 0 -1',
    b'set': 'SMEMBERS k',
    b'hash': 'HGETALL k',
    b'zset': 'ZRANGE k 0 -1 WITHSCORES',
    b'stream': 'XINFO STREAM k FULL COUNT 0',
}
_REFUSED = 'ERR Bad data format'


class _Run:
    def __init__(self, place: Path, seed: int) -> None:
        self._seed = seed
        self._store = Store(place)
        self._client = self._store.client()
        self.report = Report('payloads')
        self._bodies = [bytes.fromhex(text) for text, _ in OLD.values()]
        self._bodies += [payload.unseal(bytes.fromhex(text)) for text, _ in PAYLOADS.values()]
        self._broken = [body for body in BROKEN.values() if len(body) < 1000]
        for program in (*_VALUES.strip().splitlines(), _GROUPS):
            self._ask('FLUSHALL')
            for line in program.strip().splitlines():
                self._ask(*line.split())
            self._bodies.append(payload.unseal(self._ask('DUMP', 'k')))

    def _ask(self, *argv: str | bytes) -> Any:
        self._client.send(request([word if isinstance(word, bytes) else word.encode() for word in argv]))
        (reply,) = self._client.replies()
        return reply

    def go(self, inputs: int, progress: Callable[[int], None]) -> None:
        for number in range(inputs):
            chance = random.Random(f'{self._seed}:payloads:{number}')
            if number % _CHECK == 0:
                self._look(number)
                progress(number)
            body = self._body(chance)
            self.report.inputs += 1
            try:
                with limited():
                    self._try(body, number)
            except Hang:
                self._find(number, body, f'more than {HANG:g} s')
            except Exception as error:
                self._find(number, body, f'{type(error).__name__}: {error}')
            for fault in self._store.faults.take():
                self._find(number, body, fault)
        self._look(inputs)
        self._client.close()
        self._store.close()

    def _body(self, chance: random.Random) -> bytes:
        if chance.random() < 0.05:
            return bytes((chance.randrange(27),)) + chance.randbytes(chance.randrange(60))
        return mutated(chance, chance.choice(self._bodies if chance.random() < 0.8 else self._broken))

    def _try(self, body: bytes, number: int) -> None:
        reply = self._ask('RESTORE', 'k', '0', payload.seal(bytearray(body)), 'REPLACE')
        if reply != b'OK':
            self.report.outcomes['refused'] += 1
            if not str(reply).startswith(_REFUSED):
                self._find(number, body, repr(reply))
            return
        self.report.outcomes['restored'] += 1
        first = self._contents()
        again = self._ask('RESTORE', 'k', '0', self._ask('DUMP', 'k'), 'REPLACE')
        if again != b'OK' or self._contents() != first:
            self._find(number, body, f'not the same a second time: {first!r}')

    def _contents(self) -> object:
        kind = self._ask('TYPE', 'k')
        reply = self._ask(*_READERS[kind].split())
        return sorted(reply) if kind == b'set' else reply

    def _find(self, number: int, body: bytes, text: str) -> None:
        self.report.findings.append(f'input {number}: {body[:200].hex()}: {text}'[:2000])

    def _look(self, number: int) -> None:
        self._store.turn()
        survey = self._store.survey()
        if not survey.is_sound():
            self.report.findings.append(f'inputs before {number}: the records do not fit together: {survey}'[:2000])


def run(place: Path, inputs: int, seed: int, progress: Callable[[int], None]) -> Report:
    """Restore so many serialized values.

    Args:
        place: where the store is made.
        inputs: how many.
        seed: decides about them.
        progress: gets how many were tried.
    """
    started = _Run(place, seed)
    started.go(inputs, progress)
    progress(inputs)
    return started.report
