"""Write ``rq_leveldb/store/catalogue.txt`` anew: the facts that a real Redis tells of the commands that the store has.

``python -m compat_tests.catalogue``, after a change of the table of commands or of the model's version. Redis'
sentences (summaries, notes, the history of a command, descriptions in HELP) are left out, since they are not free to be
copied. Ours are in ``summaries.txt``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rq_leveldb.store
from compat_tests.comparison.wire import Reply, Wire
from compat_tests.real_redis import RealRedis
from rq_leveldb.store.command import Command
from rq_leveldb.store.commands.table import all_commands

SENTENCES = ('summary', 'history')
_TERM = r'O\((?:[^()]|\([^()]*\))*\)'
FORMULA = re.compile(rf'{_TERM}(?: ?\+ ?{_TERM})*')
NO_SUBCOMMAND = '(no subcommand)'


def main() -> None:
    """Ask a real server about every command and write the file."""
    with RealRedis() as server:
        wire = Wire(server.socket_path, 3)
        lines = [_line(wire, command) for container in all_commands() for command in _with_subcommands(container)]
        wire.close()
    path = Path(rq_leveldb.store.__file__).with_name('catalogue.txt')
    path.write_text(''.join(f'{line}\n' for line in sorted(lines)), encoding='utf-8')
    print(f'{path}: {len(lines)} commands, {path.stat().st_size} bytes')


def _with_subcommands(command: Command) -> Iterator[Command]:
    yield command
    yield from command.subcommands.values()


def _line(wire: Wire, command: Command) -> str:
    (info,) = _plain(wire.call('COMMAND', 'INFO', command.name))
    assert info is not None, f'Redis has no {command.name}'
    ((_, docs),) = _plain(wire.call('COMMAND', 'DOCS', command.name)).items()
    keys = [{name: value for name, value in spec.items() if name != 'notes'} for spec in info[8]]
    entry = {'categories': info[6], 'tips': info[7], 'keys': keys, 'docs': facts(docs)}
    if command.subcommands:
        entry['help'] = [
            (usage, options)
            for usage, options in help_entries(_plain(wire.call(command.name, 'HELP')))
            if usage[0] == NO_SUBCOMMAND or usage[0].split()[0].lower().encode() in command.subcommands
        ]
    text = json.dumps({name: value for name, value in entry.items() if value}, separators=(',', ':'))
    return f'{command.name}\t{text}'


def facts(docs: dict[str, Any]) -> dict[str, Any]:
    """Return what COMMAND DOCS says of a command, without sentences and subcommands.

    Args:
        docs: the command's entry.

    Returns:
        The entry's facts; of a complexity only its formula, if it begins with one.
    """
    kept = {name: value for name, value in docs.items() if name not in SENTENCES and name != 'subcommands'}
    if 'complexity' in kept:
        formula = FORMULA.match(kept['complexity'])
        kept['complexity'] = formula and formula[0]
    return {name: value for name, value in kept.items() if value}


def help_entries(lines: list[str]) -> list[tuple[list[str], list[str]]]:
    """Split the reply of HELP into its entries.

    Args:
        lines: the reply.

    Returns:
        For each entry the lines that show how it is called, and the names of the options that are listed below it.
    """
    entries: list[tuple[list[str], list[str]]] = []
    for line in lines[1:]:
        text = line.strip()
        if not line.startswith(' '):
            entries.append(([line], []))
        elif text.startswith('['):
            entries[-1][0].append(line)
        elif text.startswith('* '):
            entries[-1][1].append(text.partition(': ')[0])
    return entries


def _plain(reply: Reply) -> Any:
    if reply.kind == '%':
        return {_plain(name): _plain(value) for name, value in reply.value}
    if isinstance(reply.value, list):
        return [_plain(item) for item in reply.value]
    return reply.value.decode() if isinstance(reply.value, bytes) else reply.value


if __name__ == '__main__':
    main()
