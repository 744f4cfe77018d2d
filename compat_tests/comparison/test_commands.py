"""What COMMAND and HELP tell of every command of the store is what Redis tells of it, but for the sentences.

Summaries and descriptions are our own words. Notes, the history of commands and what is said about a complexity are
left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from compat_tests.catalogue import FORMULA, SENTENCES, help_entries
from compat_tests.comparison.contest import Server
from compat_tests.comparison.wire import Reply, Wire
from compat_tests.real_redis import RealRedis

LEFT_OUT = {'MODULE': {'LOAD', 'LOADEX', 'UNLOAD'}}
"""Subcommands that the store does not have; docs/differences.rst says why."""

Wires = tuple[Wire, Wire]


@pytest.fixture(params=[2, 3], ids=['resp2', 'resp3'])
def wires(request: pytest.FixtureRequest, model: RealRedis, store: Server) -> Iterator[Wires]:
    pair = Wire(model.socket_path, request.param), Wire(store.socket_path, request.param)
    yield pair
    for wire in pair:
        wire.close()


def _names(wire: Wire) -> list[str]:
    return sorted(name.value.decode() for name in wire.call('COMMAND', 'LIST').value)


def _in_order(reply: Reply) -> str:
    """A reply as text in which sets, maps, and the arrays that stand for them in RESP2, have one order."""
    if reply.kind == '%':
        return f'%{sorted((repr(name), _in_order(value)) for name, value in reply.value)}'
    if isinstance(reply.value, list):
        return f'{reply.kind}{sorted(map(_in_order, reply.value))}'
    return repr(reply)


def test_every_subcommand_is_there_but_those_left_out(wires: Wires) -> None:
    theirs, ours = (set(_names(wire)) for wire in wires)
    assert ours <= theirs
    containers = {name.partition('|')[0] for name in ours if '|' in name}
    missing = {name for name in theirs - ours if name.partition('|')[0] in containers}
    assert missing == {f'{one}|{word}'.lower() for one, words in LEFT_OUT.items() for word in words}


def test_info_is_the_same(wires: Wires) -> None:
    names = _names(wires[1])
    theirs, ours = (wire.call('COMMAND', 'INFO', *names).value for wire in wires)
    for name, their_info, our_info in zip(names, theirs, ours, strict=True):
        *their_facts, their_parts = their_info.value
        *our_facts, our_parts = our_info.value
        their_keys, our_keys = their_facts.pop(8), our_facts.pop(8)
        assert list(map(_in_order, their_facts)) == list(map(_in_order, our_facts)), name
        assert _without(('notes',), their_keys) == _without((), our_keys), name
        assert our_parts.kind == their_parts.kind, name
        # Each subcommand is asked for by its own name, too.
        assert {_in_order(part) for part in our_parts.value} <= {_in_order(part) for part in their_parts.value}, name


def test_the_whole_table_is_what_is_told_of_each(wires: Wires) -> None:
    for wire in wires:
        whole = {_in_order(one) for one in wire.call('COMMAND').value}
        names = [one.value[0].value for one in wire.call('COMMAND').value]
        assert whole == {_in_order(one) for one in wire.call('COMMAND', 'INFO', *names).value}


def _without(names: Sequence[str], maps: Reply) -> tuple[str, list[list[tuple[str, str]]]]:
    kept = [
        sorted((key.value.decode(), _in_order(value)) for key, value in _pairs(one) if key.value.decode() not in names)
        for one in maps.value
    ]
    return maps.kind, kept


def _document(wire: Wire, name: str) -> dict[str, Reply]:
    ((_, document),) = _pairs(wire.call('COMMAND', 'DOCS', name))
    return {key.value.decode(): value for key, value in _pairs(document)}


def _pairs(reply: Reply) -> list[tuple[Reply, Reply]]:
    if reply.kind == '%':
        return list(reply.value)
    return list(zip(reply.value[::2], reply.value[1::2], strict=True))


def test_docs_are_the_same_but_for_the_sentences(wires: Wires) -> None:
    for name in _names(wires[1]):
        theirs, ours = (_document(wire, name) for wire in wires)
        assert ours.pop('summary').kind == theirs['summary'].kind, name
        formula = FORMULA.match(theirs.pop('complexity', Reply('$', b'')).value.decode())
        if formula:
            theirs['complexity'] = Reply('$', formula[0].encode())
        kept = {key: _in_order(value) for key, value in theirs.items() if key not in ('subcommands', *SENTENCES)}
        assert {key: _in_order(value) for key, value in ours.items() if key != 'subcommands'} == kept, name


def test_docs_of_a_container_have_its_subcommands(wires: Wires) -> None:
    for wire in wires:
        parts = {name.value.decode(): part for name, part in _pairs(_document(wire, 'object')['subcommands'])}
        assert sorted(parts) == [name for name in _names(wire) if name.startswith('object|')]
        for name, part in parts.items():
            assert _in_order(part) == _in_order(_pairs(wire.call('COMMAND', 'DOCS', name))[0][1]), name


def test_lists_by_category_and_pattern_are_the_same(wires: Wires) -> None:
    known = set(_names(wires[1]))
    filters = [('ACLCAT', word) for word in ('read', 'STREAM', 'admin', 'slow', 'keyspace', 'nope', '@read')]
    filters += [('PATTERN', pattern) for pattern in ('*', 'x*', 'CLIENT|*', 'nope')]
    for kind, value in filters:
        theirs, ours = (
            {name.value.decode() for name in wire.call('COMMAND', 'LIST', 'FILTERBY', kind, value).value}
            for wire in wires
        )
        assert theirs & known == ours, (kind, value)


def test_help_has_the_same_entries_but_for_those_left_out(wires: Wires) -> None:
    containers = sorted({name.partition('|')[0].upper() for name in _names(wires[1]) if '|' in name})
    for name in containers:
        theirs, ours = (wire.call(name, 'HELP') for wire in wires)
        assert ours.kind == theirs.kind
        assert {line.kind for line in ours.value} == {line.kind for line in theirs.value}
        their_lines, our_lines = ([line.value.decode() for line in reply.value] for reply in (theirs, ours))
        assert our_lines[0].startswith(their_lines[0].partition('. ')[0]), name
        assert help_entries(our_lines) == [
            (usage, options)
            for usage, options in help_entries(their_lines)
            if usage[0].split()[0] not in LEFT_OUT.get(name, ())
        ], name
