"""Random programs give the same replies and leave the same contents, in RESP2 and RESP3."""

from __future__ import annotations

import pytest
from hypothesis import given

from compat_tests.comparison.contest import Contest, Server
from compat_tests.comparison.programs import Step, programs
from compat_tests.real_redis import RealRedis

# A difference is made as small as it gets before it is shown, for up to five minutes.
pytestmark = pytest.mark.timeout(400)

TYPES = ['string', 'hash', 'list', 'set', 'sorted_set', 'stream']
PROTOCOLS = pytest.mark.parametrize('protocol', [2, 3], ids=['resp2', 'resp3'])


def _run(steps: list[Step], protocol: int, model: RealRedis, store: Server) -> None:
    with Contest(model, store, protocol) as contest:
        for client, command in steps:
            contest.send(client, *command)
        contest.compare_contents()


@PROTOCOLS
@pytest.mark.parametrize('group', TYPES)
def test_commands_of_one_type(group: str, protocol: int, model: RealRedis, store: Server) -> None:
    @given(programs([group, 'generic']))
    def run(steps: list[Step]) -> None:
        _run(steps, protocol, model, store)

    run()


@PROTOCOLS
def test_commands_of_all_types(protocol: int, model: RealRedis, store: Server) -> None:
    @given(programs([*TYPES, 'generic', 'scripting'], parts=20))
    def run(steps: list[Step]) -> None:
        _run(steps, protocol, model, store)

    run()


@PROTOCOLS
def test_transactions_of_two_clients(protocol: int, model: RealRedis, store: Server) -> None:
    @given(programs(['transactions', 'transactions', 'transactions', *TYPES, 'generic', 'scripting'], 'ab'))
    def run(steps: list[Step]) -> None:
        _run(steps, protocol, model, store)

    run()


@PROTOCOLS
def test_scripts(protocol: int, model: RealRedis, store: Server) -> None:
    @given(programs(['scripting', 'scripting', *TYPES]))
    def run(steps: list[Step]) -> None:
        _run(steps, protocol, model, store)

    run()
