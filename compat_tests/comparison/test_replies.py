"""Corner cases: every program in cases/ gives the same replies and leaves the same contents, in RESP2 and RESP3."""

from __future__ import annotations

from pathlib import Path

import pytest

from compat_tests.comparison.contest import Contest, Server
from compat_tests.comparison.known import CHANGED, MODEL, OURS_ALONE
from compat_tests.comparison.script import parse
from compat_tests.real_redis import RealRedis


def _programs() -> list[object]:
    found: list[object] = []
    for path in sorted(Path(__file__).with_name('cases').glob('*.txt')):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line and not line.startswith('#'):
                found.append(pytest.param(line, id=f'{path.stem}-{number}'))
    return found


@pytest.mark.parametrize('protocol', [2, 3], ids=['resp2', 'resp3'])
@pytest.mark.parametrize('program', _programs())
def test_program_gives_the_same_replies(program: str, protocol: int, redis_server: RealRedis, store: Server) -> None:
    for piece, reason in CHANGED.items():
        if piece in program and redis_server.version[:2] < MODEL:
            pytest.skip(f'Redis {redis_server.version} answers otherwise than the model: {reason}')
    for piece, reason in OURS_ALONE.items():
        if piece in program:
            pytest.skip(reason)
    with Contest(redis_server, store, protocol, patient=True) as contest:
        for client, command in parse(program):
            contest.send(client, *command)
        assert not contest.found, '\n'.join(contest.found)
        contest.compare_contents()
