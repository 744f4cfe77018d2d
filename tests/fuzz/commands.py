"""Every command of the table with arbitrary arguments, and valid forms that were spoiled, on a whole store."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from compat_tests.comparison.grammar import compile_pattern
from compat_tests.comparison.vocabulary import GROUPS, ODDITIES, POOLS
from rq_leveldb.store.commands.table import all_commands
from tests.fuzz.store import Client, Store, errors_in, request
from tests.fuzz.target import HANG, NASTY, Hang, Report, is_redis_error, limited

# What ends the process, or stops all clients of it for as long as it is told, as it should.
LEFT_OUT = frozenset(('shutdown', 'debug', 'client|pause', 'config|set', 'config|rewrite'))
_CHECK = 250
"""Inputs between two looks at all records, and a new beginning."""
_CLIENTS = 3
_AT_ONCE = (1, 1, 1, 2, 5)

_PATTERNS = [
    compile_pattern(line.strip(), POOLS) for lines in GROUPS.values() for line in lines.splitlines() if line.strip()
]
_WORDS = [word for pool in POOLS.values() for word in pool]
_OPTIONS = b"""
    NX XX GT LT CH INCR EX PX EXAT PXAT KEEPTTL PERSIST GET LIMIT COUNT MATCH TYPE NOVALUES WITHSCORES WITHSCORE
    WITHVALUES BYSCORE BYLEX REV WEIGHTS AGGREGATE SUM MIN MAX MAXLEN MINID NOMKSTREAM STREAMS BLOCK GROUP NOACK
    ENTRIESREAD JUSTID FORCE IDLE TIME RETRYCOUNT LASTID FULL STORE BY ASC DESC ALPHA REPLACE DB LEN IDX MINMATCHLEN
    WITHMATCHLEN RANK LEFT RIGHT BEFORE AFTER FNX FXX FIELDS ID ADDR USER SKIPME ON OFF ASYNC SYNC VERSION SAMPLES
""".split()


def _names() -> list[list[bytes]]:
    names = []
    for command in all_commands():
        if command.name not in LEFT_OUT:
            names.append([command.name.encode()])
        names += [
            [command.name.encode(), word] for word, one in command.subcommands.items() if one.name not in LEFT_OUT
        ]
    return names


_NAMES = _names()


def _left_out(chance: random.Random, argv: Sequence[bytes]) -> bool:
    name = argv[0].lower().decode('latin-1')
    if name in ('flushdb', 'flushall', 'swapdb', 'select') and chance.random() < 0.9:
        return True  # there has to be something to work on
    return name in LEFT_OUT or (len(argv) > 1 and f'{name}|{argv[1].lower().decode("latin-1")}' in LEFT_OUT)


def _word(chance: random.Random) -> bytes:
    return chance.choice(chance.choice((_WORDS, _OPTIONS, NASTY, ODDITIES)))


def _argv(chance: random.Random) -> list[bytes]:
    if chance.random() < 0.25:
        return [*chance.choice(_NAMES), *(_word(chance) for _ in range(chance.choice((0, 1, 1, 2, 2, 3, 3, 4, 5, 8))))]
    argv = chance.choice(_PATTERNS)(chance)
    for _ in range(chance.choice((0, 0, 0, 0, 1, 1, 2))):
        at = chance.randrange(1, len(argv) + 1)
        how = chance.randrange(5)
        if how == 0:
            argv.insert(at, _word(chance))
        elif how == 1:
            del argv[at : at + 1]
        elif how == 2:
            argv[at:at] = argv[at - 1 : at + chance.randrange(3)]
        else:
            argv[at : at + 1] = [_word(chance)]
    return argv


class _Run:
    def __init__(self, place: Path, seed: int) -> None:
        self._seed = seed
        self._store = Store(place)
        self._clients: list[Client] = []
        self.report = Report('commands')

    def go(self, inputs: int, progress: Callable[[int], None]) -> None:
        number = 0
        while number < inputs:
            chance = random.Random(f'{self._seed}:commands:{number}')
            if number % _CHECK == 0:
                self._begin_anew(chance, number)
                progress(number)
            count = min(chance.choice(_AT_ONCE), inputs - number, _CHECK - number % _CHECK)
            self._try(chance, number, count)
            number += count
        self._look(number)
        for client in self._clients:
            client.close()
        self._store.close()

    def _begin_anew(self, chance: random.Random, number: int) -> None:
        """Let each stretch depend on its own numbers only, so that it can be repeated."""
        self._look(number)
        for client in self._clients:
            client.close()
        self._clients = [self._store.client(resp3=chance.random() < 0.5) for _ in range(_CLIENTS)]
        self._clients[0].send(request([b'FLUSHALL']))
        self._clients[0].replies()

    def _try(self, chance: random.Random, number: int, count: int) -> None:
        which = chance.randrange(_CLIENTS)
        if _is_stuck(chance, self._clients[which]):
            self._clients[which].close()
            self._clients[which] = self._store.client(resp3=chance.random() < 0.5)
        client = self._clients[which]
        batch = [argv for argv in (_argv(chance) for _ in range(count)) if not _left_out(chance, argv)]
        report = self.report
        report.inputs += count
        try:
            with limited():
                client.send(b''.join(map(request, batch)))
                if chance.random() < 0.05:
                    self._store.turn()
        except Hang:
            report.findings.append(f'input {number}: more than {HANG:g} s for {_shown(batch)}')
        except Exception as error:
            report.findings.append(f'input {number}: {type(error).__name__}: {error} for {_shown(batch)}')
        for other in self._clients:
            for reply in other.replies():
                errors = errors_in(reply)
                report.outcomes['errors' if errors else 'values'] += 1
                for text in errors:
                    # A script may make any error of its own.
                    by_script = any(argv[0].upper().startswith(b'EVAL') for argv in batch)
                    if not is_redis_error(text) and ('internal error' in text or not by_script):
                        report.findings.append(f'input {number}: {text!r} for {_shown(batch)}')
        report.findings += [f'input {number}: {_shown(batch)}: {text}' for text in self._store.faults.take()]

    def _look(self, number: int) -> None:
        self._store.turn()
        survey = self._store.survey()
        if not survey.is_sound():
            self.report.findings.append(f'inputs before {number}: the records do not fit together: {survey}'[:2000])


def _is_stuck(chance: random.Random, client: Client) -> bool:
    """Say whether a client has to go: most commands would be refused, queued, or not answered, and teach nothing."""
    state = client.session.client
    odd = state.subscribed or state.queue is not None
    return not client.usable or (odd and chance.random() < 0.2)


def _shown(batch: Sequence[Sequence[bytes]]) -> str:
    return '; '.join(b' '.join(argv)[:200].decode('ascii', 'backslashreplace') for argv in batch)


def run(place: Path, inputs: int, seed: int, progress: Callable[[int], None]) -> Report:
    """Send so many commands.

    Args:
        place: where the store is made.
        inputs: how many commands.
        seed: decides about them.
        progress: gets how many were tried.
    """
    started = _Run(place, seed)
    started.go(inputs, progress)
    progress(inputs)
    return started.report
