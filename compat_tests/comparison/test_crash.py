"""After kill -9 at any point the store holds what it acknowledged, and of the rest all of a command or none."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from compat_tests.comparison.contents import contents, differing
from compat_tests.comparison.contest import shown
from compat_tests.comparison.programs import Step, programs
from compat_tests.comparison.wire import CLOSED, Wire, encode
from compat_tests.real_redis import RealRedis
from compat_tests.store_process import StoreProcess

TYPES = ['string', 'hash', 'list', 'set', 'sorted_set', 'stream']
# A step is a unit of what is there or not: a command, or a whole transaction in one packet.
Unit = list[tuple[bytes, ...]]


def _units(steps: list[Step], transactions: list[bool]) -> list[Unit]:
    units: list[Unit] = []
    for (_, command), joined in zip(steps, transactions, strict=False):
        if joined and units:
            units[-1].append(command)
        else:
            units.append([command])
    return [[(b'MULTI',), *unit, (b'EXEC',)] if len(unit) > 1 else unit for unit in units]


def _packet(unit: Unit) -> bytes:
    return b''.join(map(encode, unit))


@pytest.mark.parametrize('fsync', ['everysec', 'always'])
@pytest.mark.timeout(300)
def test_killed_at_a_random_point(fsync: str, model: RealRedis, tmp_path: Path) -> None:
    # Shrinking would start the store hundreds of times.
    @settings(max_examples=6, phases=(Phase.explicit, Phase.generate))
    @given(st.data())
    def run(data: st.DataObject) -> None:
        redis = Wire(model.socket_path)
        redis.call('FLUSHALL')
        Wire(process.socket_path).call('FLUSHALL')
        for _ in range(data.draw(st.integers(1, 3), 'kills')):
            steps = data.draw(programs([*TYPES, 'generic', 'scripting'], spoilt=False), 'steps')
            joined = data.draw(st.lists(st.booleans(), min_size=len(steps), max_size=len(steps)), 'joined')
            units = [unit for unit in _units(steps, joined) if not _forgets(unit)]
            acknowledged = data.draw(st.integers(0, len(units)), 'replies awaited before the kill')
            milliseconds = data.draw(st.integers(0, 3), 'milliseconds for the rest')
            _run_and_kill(process, units, acknowledged, milliseconds)
            process.start()
            _expect_a_prefix(redis, model, process, units, acknowledged)

    with StoreProcess(tmp_path / 'store', fsync=fsync) as process:
        run()


def _forgets(unit: Unit) -> bool:
    # A connection's selected database is gone with its connection.
    return any(command[0] in (b'SELECT', b'MOVE') for command in unit)


def _run_and_kill(process: StoreProcess, units: list[Unit], acknowledged: int, milliseconds: int) -> None:
    """Send all units, read the replies to some of them, kill the store while it is at the rest."""
    wire = Wire(process.socket_path)
    for unit in units[:acknowledged]:
        wire.send_raw(_packet(unit))
        replies = [wire.read() for _ in unit]
        assert CLOSED not in replies, shown(unit[-1])
    wire.send_raw(b''.join(map(_packet, units[acknowledged:])))
    time.sleep(milliseconds / 1000)
    process.kill()
    wire.close()


def _expect_a_prefix(
    redis: Wire, model: RealRedis, process: StoreProcess, units: list[Unit], acknowledged: int
) -> None:
    """Find how many units the store holds: all that were acknowledged, and some of the rest, in order.

    Raises:
        AssertionError: if there is no such number.
    """
    for unit in units[:acknowledged]:
        redis.call_many(unit)
    ours = contents(process.socket_path)
    first = found = differing(contents(model.socket_path), ours)
    for unit in units[acknowledged:]:
        if not found:
            break
        redis.call_many(unit)
        found = differing(contents(model.socket_path), ours)
    history = '\n  '.join(' | '.join(map(shown, unit)) for unit in units[:acknowledged])
    assert not found, f'acknowledged:\n  {history}\nand then\n' + '\n'.join(first)
