"""List what differs between Redis and the store, one line a kind: ``python -m compat_tests.comparison.survey``.

Random programs from the same vocabulary as the tests, without shrinking and without stopping at the first difference:
for whoever works on the store. Options: ``--seconds``, ``--seed``, ``--groups``.
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
import time
from collections import Counter
from pathlib import Path

from compat_tests.comparison.contest import Contest
from compat_tests.comparison.programs import patterns, spoilt_now_and_then
from compat_tests.comparison.vocabulary import GROUPS
from compat_tests.real_redis import RealRedis
from compat_tests.store_process import StoreProcess


def main() -> None:
    """Run until the time is up; print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=30)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--groups', nargs='*', default=list(GROUPS), choices=list(GROUPS))
    options = parser.parse_args()
    found: Counter[tuple[str, str]] = Counter()
    shown: dict[tuple[str, str], str] = {}
    programs = 0
    end = time.monotonic() + options.seconds
    directory = tempfile.TemporaryDirectory()
    with directory, RealRedis() as redis, StoreProcess(Path(directory.name, 'store')) as store:
        while time.monotonic() < end:
            chance = random.Random(options.seed * 1_000_003 + programs)
            programs += 1
            try:
                _run(chance, options.groups, redis, store)
            except AssertionError as error:
                kind = _kind(str(error))
                found[kind] += 1
                if kind not in shown or len(str(error)) < len(shown[kind]):
                    shown[kind] = str(error)
    for kind, count in found.most_common():
        print(f'--- {count} times: {kind[0]}')
        lines = shown[kind].splitlines()
        print('\n'.join(line[:300] for line in lines[-12:]))
    print(f'{programs} programs, {sum(found.values())} with differences of {len(found)} kinds')


def _run(chance: random.Random, groups: list[str], redis: RealRedis, store: StoreProcess) -> None:
    with Contest(redis, store, chance.choice((2, 3))) as contest:
        clients = chance.choice(('a', 'ab'))
        for _ in range(chance.randrange(1, 60)):
            draw = chance.choice(patterns(chance.choice(groups)))
            contest.send(chance.choice(clients), *spoilt_now_and_then(draw(chance), chance))
        contest.compare_contents()


def _kind(text: str) -> tuple[str, str]:
    lines = text.splitlines()
    if lines[0].startswith('contents'):
        return 'contents', re.sub(r'[0-9]+', 'N', lines[-3])[:60]
    command = next((line for line in reversed(lines) if line.startswith('  ')), '?')
    ours = re.sub(r"[0-9a-f]{40}|-?[0-9]+|\$b'[^']*'", 'N', lines[-1])[:60]
    return command.split()[1] if command != '?' else '?', ours


if __name__ == '__main__':
    main()
