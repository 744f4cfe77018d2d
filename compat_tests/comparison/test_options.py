"""Every command's options and arguments, right and wrong: the same reply, the same error."""

from __future__ import annotations

import pytest

from compat_tests.comparison.agreement import agree
from compat_tests.comparison.contest import Server, clipped, shown
from compat_tests.comparison.options import SETUP, Command, lines, variants
from compat_tests.comparison.wire import CLOSED, Reply, Wire, encode
from compat_tests.real_redis import RealRedis

_PATIENCE = 0.2
"""Seconds after which a command of the real Redis waits for a key."""

OURS_ALONE: dict[str, str] = {
    'XTRIM stream MAXLEN ~': 'trims exactly',
    'SCAN': 'a cursor that nobody knows starts over',
    'CONFIG SET timeout': 'only what can be changed has a range',
    'WAIT 9': 'nobody waits, since there are no replicas',
    'COMMAND GETKEYSANDFLAGS ZUNIONSTORE d 1': 'a number of keys that is none has none',
    'COMMAND GETKEYSANDFLAGS ZUNIONSTORE d  1': 'likewise',
    'COMMAND GETKEYSANDFLAGS ZUNIONSTORE d +1': 'likewise',
    'COMMAND GETKEYSANDFLAGS ZUNIONSTORE d 01': 'likewise',
    'AUTH': 'a wrong password is answered at once',
}
"""By the beginning of a command that differs: why."""


def _ask(wire: Wire, command: Command) -> Reply | None:
    """Return the reply to a command from the contents of the table; None if it waits."""
    wire.send_raw(b''.join(map(encode, SETUP)) + encode(command))
    for _ in SETUP:
        wire.read()
    return wire.read() if wire.pending(_PATIENCE) else None


def _is_known(command: Command) -> bool:
    text = b' '.join(command).decode('latin-1')
    return any(map(text.startswith, OURS_ALONE))


@pytest.mark.parametrize('line', lines())
def test_options(line: str, model: RealRedis, store: Server) -> None:
    servers = (model, store)
    wires = [Wire(server.socket_path, 2) for server in servers]
    found = []
    for command in dict.fromkeys(variants(line)):
        theirs, ours = (_ask(wire, command) for wire in wires)
        if theirs is None or ours is None or CLOSED in (theirs, ours):
            for wire in wires:
                wire.close()
            wires = [Wire(server.socket_path, 2) for server in servers]
        same = agree(command, theirs, ours) if theirs is not None and ours is not None else theirs is ours
        if not same and not _is_known(command):
            found.append(f'{shown(command)}\n  Redis: {clipped(theirs)}\n  store: {clipped(ours)}')
    for wire in wires:
        wire.close()
    assert not found, f'{len(found)} differ\n' + '\n'.join(found[:20])
