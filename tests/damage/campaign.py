"""Damages to a closed database: none may be served as truth, and mending must leave all that was not damaged.

Five thousand of them: `python -m tests.damage.campaign 5000 [seed]`
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rq_leveldb import errors
from rq_leveldb.location import DataDirectory
from rq_leveldb.store import encoding
from rq_leveldb.store.check import Report, check
from rq_leveldb.store.engine import ReadFailed
from rq_leveldb.store.finding import Finding
from rq_leveldb.store.log_file import changed_keys, records
from tests.damage.data import DAMAGED, State, fill, opened, seen

Damage = Callable[[random.Random, bytearray], None]


def a_bit(chance: random.Random, data: bytearray) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def zeros(chance: random.Random, data: bytearray) -> None:
    start = chance.randrange(len(data))
    start -= start % 512
    end = min(len(data), start + chance.choice([512, 4096]))
    data[start:end] = bytes(end - start)


def garbage(chance: random.Random, data: bytearray) -> None:
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.randrange(1, 4096))
    data[start:end] = chance.randbytes(end - start)


def another_place(chance: random.Random, data: bytearray) -> None:
    size = min(4096, len(data) // 2)
    start, end = chance.randrange(len(data) - size + 1), chance.randrange(len(data) - size + 1)
    data[end : end + size] = data[start : start + size]


def cut(chance: random.Random, data: bytearray) -> None:
    del data[chance.randrange(len(data)) :]


def longer(chance: random.Random, data: bytearray) -> None:
    data += chance.randbytes(chance.randrange(1, 5000))


DAMAGES: tuple[Damage, ...] = (a_bit, zeros, garbage, another_place, cut, longer)
GONE = 'gone'


@dataclass
class Original:
    """A database before it is damaged.

    Args:
        state: what clients see of it.
        spans: where LevelDB holds each key and its members.
        logged: keys that each log changes, by the byte behind the change.
    """

    directory: DataDirectory
    state: State = field(default_factory=dict)
    spans: dict[tuple[int, bytes], list[tuple[bytes, bytes]]] = field(default_factory=dict)
    logged: list[tuple[int, bytes]] = field(default_factory=list)


def prepare(place: Path, seed: int, size: int) -> Original:
    """Make one."""
    original = Original(DataDirectory(place / 'original'))
    fill(original.directory, seed, size)
    for path in original.directory.database.glob('*.log'):
        for record in records(path.read_bytes(), checksums=True):
            original.logged += [(record.end, key) for key in changed_keys(record.payload)]
    copy = duplicate(original, place / 'looked-at')
    with contextlib.closing(opened(copy)) as direct:
        original.state = seen(direct, {})
        for db, key in original.state:
            meta_key = direct.keys.prefixes[db] + key
            meta = direct.engine.get(meta_key)
            assert meta is not None
            # Whose it is stands in a record as well.
            name = encoding.namespace_key(db)
            spans = original.spans[db, key] = [(meta_key, meta_key), (name, name)]
            version = encoding.meta_version(meta)
            if version:
                prefix = encoding.members_prefix(version)
                spans.append((prefix, encoding.after(prefix)))
    shutil.rmtree(copy.path)
    return original


def duplicate(original: Original, place: Path) -> DataDirectory:
    shutil.copytree(original.directory.path, place)
    return DataDirectory(place)


def harm(directory: DataDirectory, chance: random.Random) -> tuple[str, str]:
    """Damage one file.

    Returns:
        The file's name, and the kind of damage.
    """
    # One that was cut to nothing has nothing more to damage.
    paths = sorted(
        path
        for path in directory.database.iterdir()
        if path.name not in ('LOCK', 'LOG', 'LOG.old') and path.stat().st_size
    )
    kinds = sorted({path.suffix or path.name.partition('-')[0] for path in paths})
    kind = chance.choice(kinds)
    path = chance.choice([path for path in paths if (path.suffix or path.name.partition('-')[0]) == kind])
    data = bytearray(path.read_bytes())
    if chance.random() < 0.05:
        path.unlink()
        return path.name, GONE
    how = chance.choice(DAMAGES)
    before = bytes(data)
    how(chance, data)
    path.write_bytes(data)
    return path.name, how.__name__ if data != before else 'nothing'


@dataclass
class Outcome:
    """What became of one damage.

    Args:
        damage: the file's name and the kind of damage.
        served: what the store did: right, refused (at its start), damaged (said so when it was read), shortened, wrong.
        told: what the check found: damage, a note, nothing.
        left: how many of the keys are left, and how many there were.
        faults: what must not happen.
    """

    damage: tuple[str, str]
    served: str = ''
    told: str = ''
    left: tuple[int, int] = (0, 0)
    faults: list[str] = field(default_factory=list)


def play(original: Original, place: Path, seed: int) -> Outcome:
    """Damage a copy of a database, start a store on it, check it, mend it, and look again."""
    chance = random.Random(seed)
    damaged = duplicate(original, place / 'damaged')
    outcome = Outcome(harm(damaged, chance))
    shutil.copytree(damaged.path, place / 'served')
    found = _serve(original, DataDirectory(place / 'served'), outcome)
    if found is None:
        outcome.served = 'refused'
    elif any(value == DAMAGED for value in found.values()):
        outcome.served = 'damaged'
    else:
        outcome.served = 'right'
    wrong = _differences(original.state, found) if found is not None else []
    # That a log has become shorter no reader can tell from the death of who wrote it.
    shortened = outcome.damage[0].endswith('.log') and outcome.damage[1] in ('cut', 'zeros', 'another_place')
    if wrong:
        outcome.served = 'shortened' if shortened else 'wrong'
        if not shortened:
            outcome.faults.append(f'served wrong: {wrong[:5]}')
    before = {path.name: path.read_bytes() for path in damaged.database.iterdir()}
    report = _checked(damaged, False, outcome)
    if report is not None:
        _judge(original, damaged, report, before, outcome, shortened)
    for left in ('damaged', 'served'):
        shutil.rmtree(place / left)
    return outcome


def _judge(
    original: Original,
    damaged: DataDirectory,
    report: Report,
    before: dict[str, bytes],
    outcome: Outcome,
    shortened: bool,
) -> None:
    if {path.name: path.read_bytes() for path in damaged.database.iterdir()} != before:
        outcome.faults.append('a check without mending changed something')
    outcome.told = 'damage' if not report.sound else 'a note' if report.findings else 'nothing'
    if outcome.served not in ('right', 'shortened') and report.sound:
        outcome.faults.append('the check calls it sound')
    mended = _checked(damaged, True, outcome)
    if mended is None:
        return
    if (mended.kept is not None) == report.sound:
        outcome.faults.append('it was mended, or not, against what the check said')
    if {_said(finding) for finding in mended.findings} != {_said(finding) for finding in report.findings}:
        outcome.faults.append('mending said something else than the check')
    if mended.kept is not None:
        again = _checked(damaged, False, outcome)
        if again is not None and again.findings:
            outcome.faults.append(f'a second check still finds {again.findings[:3]}')
    found = _serve(original, damaged, outcome)
    if found is None:
        outcome.faults.append('it is refused after it was mended')
        return
    different = _differences(original.state, found)
    outcome.left = len(original.state) - len(different), len(original.state)
    uncovered = [key for key in different if not _covered(original, key, report.findings)]
    if uncovered and not shortened:
        outcome.faults.append(f'lost, and the check did not say so: {uncovered[:5]} {report.findings[:5]}')


def _said(finding: Finding) -> tuple[str, str, int | None]:
    return finding.where, finding.problem, finding.at


def _serve(original: Original, directory: DataDirectory, outcome: Outcome) -> State | None:
    try:
        direct = opened(directory)
    except (errors.StoreError, ReadFailed):
        return None
    except Exception as error:
        outcome.faults.append(f'a traceback at the start: {error!r}')
        return None
    try:
        return seen(direct, original.state)
    except Exception as error:
        outcome.faults.append(f'a traceback when it is read: {error!r}')
        return None
    finally:
        direct.close()


def _checked(directory: DataDirectory, fix: bool, outcome: Outcome) -> Report | None:
    try:
        return check(directory, fix=fix, progress=lambda what, done, size: None)
    except errors.StoreError as error:
        outcome.faults.append(f'the check gives up: {error}')
    except Exception as error:
        outcome.faults.append(f'a traceback from the check: {error!r}')
    return None


def _differences(state: State, found: State) -> list[tuple[int, bytes]]:
    """Return what is there and was not, or is not there and was, or is another value."""
    return [key for key in sorted({*state, *found}) if found.get(key) != DAMAGED and found.get(key) != state.get(key)]


def _covered(original: Original, key: tuple[int, bytes], findings: list[Finding]) -> bool:
    meta_key = encoding.meta_prefix(encoding.u32(key[0])) + key[1]
    name = encoding.namespace_key(key[0])
    spans = original.spans.get(key) or [(meta_key, meta_key), (name, name)]
    for finding in findings:
        if finding.where.endswith('.log'):
            lost = {changed for end, changed in original.logged if end > (finding.at or 0)}
            if any(first <= changed <= last for first, last in spans for changed in lost):
                return True
        if key[1].startswith(b'found:') and not finding.harmless:
            return True
        if finding.first is None and finding.last is None:
            continue
        first, last = finding.first or b'', finding.last or b'\xff' * 30
        if any(begin <= last and end >= first for begin, end in spans):
            return True
    return False


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('rounds', type=int)
    parser.add_argument('seed', type=int, nargs='?', default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    faults = 0
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        original = prepare(place, options.seed, 1200)
        # Ctrl-C ends it early.
        with contextlib.suppress(KeyboardInterrupt):
            for number in range(options.rounds):
                outcome = play(original, place, options.seed + number)
                counts[outcome.served, outcome.told] += 1
                if outcome.faults:
                    faults += 1
                    print(options.seed + number, outcome.damage, *outcome.faults, sep='\n    ', flush=True)
    for (served, told), count in sorted(counts.items()):
        print(f'{count:6} served: {served:10} told by check: {told}')
    print(f'{counts.total()} damages from seed {options.seed}: {faults} with a fault')
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
