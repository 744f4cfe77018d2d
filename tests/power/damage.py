"""Files that a medium has damaged: a store says so, or serves what was written, and never anything else.

A closed database is copied, one of its files is damaged in one place, and every key is read by the store's own
commands.
"""

from __future__ import annotations

import multiprocessing
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from rq_leveldb.errors import StoreError
from rq_leveldb.location import DataDirectory
from rq_leveldb.store.engine import ReadFailed
from tests.power.apart import Ended, apart
from tests.power.campaign import PROCESSES, scratch
from tests.power.judge import told
from tests.power.load import DATA
from tests.power.server import opened
from tests.power.units import payload

KEYS = 5_000
_OPENINGS = 4
_SLICE = 50
_IN_LOG = range(_OPENINGS - 1, KEYS, _OPENINGS)
"""The keys whose last write is in the log."""

OUTCOMES = {
    'unhurt': 'every key has its value',
    'refused': 'the store does not open, and says why',
    'said': 'reading what is damaged is an error in words, the rest is served',
    'shortened': 'a log that ends early, as it may after a crash: the last writes are missing, and no others',
    'missing': 'keys are missing, and nobody says so',
    'wrong': 'keys have values that were never written, or older ones',
    'raw': 'an error that only its programmer understands, or the end of the process',
}
FAULTS = ('missing', 'wrong', 'raw')


def _flip(data: bytearray, chance: Random) -> None:
    at = chance.randrange(len(data))
    data[at] ^= 1 << chance.randrange(8)


def _zero(data: bytearray, chance: Random) -> None:
    size = chance.choice((16, 512, 4096))
    at = chance.randrange(len(data)) // size * size
    data[at : at + size] = bytes(len(data[at : at + size]))


def _scramble(data: bytearray, chance: Random) -> None:
    at = chance.randrange(len(data))
    data[at : at + 512] = chance.randbytes(len(data[at : at + 512]))


def _cut(data: bytearray, chance: Random) -> None:
    del data[chance.randrange(len(data)) :]


DAMAGES: dict[str, Callable[[bytearray, Random], None] | None] = {
    'bit': _flip,
    'zeros': _zero,
    'garbage': _scramble,
    'cut': _cut,
    'gone': None,
}


@dataclass
class Report:
    """Outcomes, counted for each damage."""

    rows: dict[str, Counter[str]] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def add(self, damage: str, outcome: str, example: str) -> None:
        row = self.rows.setdefault(damage, Counter())
        row['rounds'] += 1
        row[outcome] += 1
        if outcome in FAULTS:
            self.examples.append(f'{damage}: {outcome}: {example}')

    def found(self) -> int:
        """Return how many rounds ended in a fault."""
        return sum(row[fault] for row in self.rows.values() for fault in FAULTS)

    def __str__(self) -> str:
        heads = ('rounds', *OUTCOMES)
        lines = [f'{"damage":<10}' + ''.join(f'{head:>11}' for head in heads)]
        for damage, row in sorted(self.rows.items()):
            lines.append(f'{damage:<10}' + ''.join(f'{row[head]:>11}' for head in heads))
        return '\n'.join(lines)


def make(data: Path) -> None:
    """Make a database in tables and a log: every key was written twice, the first time with another value."""
    for opening in range(_OPENINGS):
        store = opened(data)
        for number in range(opening, KEYS, _OPENINGS):
            store.run('SET', _key(number), payload(1, number, 100))
            store.run('SET', _key(number), payload(0, number, 100))
        store.close()


def _key(number: int) -> str:
    return f'key:{number:05}'


def strike(source: Path, damage: str, chance: Random) -> tuple[str, str]:
    """Damage a copy and read it.

    Args:
        source: the data directory of a closed store.
        damage: the kind of damage.
        chance: decides where there is a choice.

    Returns:
        The outcome and what it was.
    """
    with scratch(source.parent) as place:
        data = place / DATA
        shutil.copytree(source, data)
        files = sorted(path for path in DataDirectory(data).database.iterdir() if path.stat().st_size)
        path = chance.choice([path for path in files if not path.name.startswith('LO')])
        apply = DAMAGES[damage]
        if apply is None:
            path.unlink()
        else:
            contents = bytearray(path.read_bytes())
            apply(contents, chance)
            path.write_bytes(contents)
        return _read(data, f'{path.name}: ', damage == 'cut' and path.suffix == '.log')


def _read(data: Path, name: str, may_be_short: bool) -> tuple[str, str]:
    try:
        store = opened(data)
    except (StoreError, ReadFailed) as error:
        # The store's program puts the latter into words, as tests/store/test_opening.py shows.
        return 'refused', f'{name}{error}'
    except Exception as error:
        return 'raw', f'{name}at the start: {told(error)}'
    said = ''
    missing, older = set(), set()
    try:
        for number in range(KEYS):
            try:
                value = store.call('GET', _key(number))
            except ReadFailed as error:
                said = str(error)
                store.keys.rollback()
                continue
            if value is None:
                missing.add(number)
            elif value == payload(1, number, 100):
                older.add(number)
            elif value != payload(0, number, 100):
                return 'wrong', f'{name}{_key(number)}'
        try:
            listed = sum(1 for _ in store.keys.typed_keys(0))
            unlisted = not missing and not said and listed != KEYS
        except ReadFailed as error:
            said = str(error)
            unlisted = False
        store.close()
    except Exception as error:
        return 'raw', f'{name}{told(error)}'
    late = missing | older
    if late and may_be_short and late == {number for number in _IN_LOG if number >= min(late)}:
        return 'shortened', name
    if older:
        return 'wrong', f'{name}{len(older)} keys are as they were before, {_key(min(older))} is one'
    if missing:
        return 'missing', f'{name}{len(missing)} keys, {_key(min(missing))} is one'
    if unlisted:
        return 'missing', f'{name}in KEYS, of which there are {listed}'
    return ('said', f'{name}{said}') if said else ('unhurt', name)


def _strike_all(source: Path, seed: int, rounds: Sequence[int]) -> list[tuple[str, str, str]]:
    outcomes = []
    for number in rounds:
        chance = Random(f'{seed}:{number}')
        damage = chance.choice(list(DAMAGES))
        try:
            outcome, example = apart(partial(strike, source, damage, chance))
        except Ended as error:
            outcome, example = 'raw', str(error)
        outcomes.append((damage, outcome, example))
    return outcomes


def run(rounds: int, seed: int) -> Report:
    """Damage a store's files again and again.

    Args:
        rounds: how many damages.
        seed: decides what they are.

    Returns:
        What became of them.
    """
    report = Report()
    with scratch() as place:
        source = place / DATA
        make(source)
        slices = [range(start, min(start + _SLICE, rounds)) for start in range(0, rounds, _SLICE)]
        with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context('spawn')) as pool:
            for outcomes in pool.map(_strike_all, [source] * len(slices), [seed] * len(slices), slices):
                for outcome in outcomes:
                    report.add(*outcome)
    return report
