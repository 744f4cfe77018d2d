"""What must be there after a cut follows from what was acknowledged, when, and what the server promises."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.power.campaign import Course, Due
from tests.power.load import HOLDS, STARTED
from tests.power.recorder import TICK, Kind, Note
from tests.power.server import Server
from tests.power.units import History


class Forgetful(Server):
    """Its process may take along what was acknowledged in the last seconds."""

    everysec = 2.0
    kept_at_kill = False
    settled_at_start = False


def mark(text: str) -> Note:
    return Note(Kind.MARK, 0, 0, 0.0, text, b'')


def told(*tags: str) -> list[Note]:
    return [Note(Kind.SENT, 5, 0, 0.0, '', f'<{tag}>'.encode()) for tag in tags]


def passing(seconds: float) -> list[Note]:
    return [Note(Kind.TICK, 0, 0, 0.0, '', b'')] * round(seconds / TICK)


def followed(server: Server, fsync: str, names: list[str], notes: Iterable[Note]) -> Due:
    notes = list(notes)
    due = Due(History(1, names), fsync, server, Course.of(notes), 0)
    for note in notes:
        due.follow(note)
    return due


@pytest.mark.parametrize('server', [Server(), Forgetful()])
def test_always_owes_what_it_acknowledged(server: Server) -> None:
    due = followed(server, 'always', ['0:1', '1:1', '0:2'], [mark(STARTED), *told('0:1', '1:1')])
    assert due.count() == 2
    assert due.age(2) == 0


@pytest.mark.parametrize('server', [Server(), Forgetful()])
def test_everysec_owes_what_is_old(server: Server) -> None:
    notes = [mark(STARTED), *told('0:1'), *passing(server.everysec), *told('1:1'), *passing(0.6)]
    due = followed(server, 'everysec', ['0:1', '1:1'], notes)
    assert due.count() == 1
    assert due.age(1) == pytest.approx(0.6)
    assert due.age(0) == pytest.approx(server.everysec + 0.6)


def test_what_a_kill_took_is_lost_unless_it_was_young() -> None:
    """A unit that was done again has its place in the history by that, and not by what was lost."""
    names = ['0:1', '1:1', '0:2']
    before = [mark(STARTED), mark(f'{HOLDS}0'), *told('0:1', '0:2')]
    after = [mark(STARTED), mark(f'{HOLDS}1'), *told('1:1', '0:2')]
    for seconds, server, lost in ((0, Forgetful(), []), (3, Forgetful(), ['0:2']), (0, Server(), ['0:2'])):
        due = followed(server, 'everysec', names, [*before, *passing(seconds), *after])
        assert due.broken == lost
        assert due.acknowledged == 3


def test_what_was_never_written_is_missing_before_the_kill_as_well() -> None:
    notes = [mark(STARTED), mark(f'{HOLDS}0'), *told('0:1', '0:2'), *passing(0.4), mark(STARTED), mark(f'{HOLDS}1')]
    due = followed(Forgetful(), 'always', ['0:1', '0:2'], notes[:-2])
    assert due.lost(loses_power=True) == ''  # that it will be gone is known from the next start only
    due = Due(History(1, ['0:1', '0:2']), 'always', Forgetful(), Course.of(notes), 0)
    for note in notes[:-2]:
        due.follow(note)
    assert due.lost(loses_power=True) == '0:2'
    assert due.age(1) == pytest.approx(0.4)
