"""Hypothesis strategies for random commands and programs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

from hypothesis import strategies as st

from compat_tests.comparison.grammar import Command, Draw, compile_pattern
from compat_tests.comparison.vocabulary import GROUPS, ODDITIES, POOLS

Step = tuple[str, Command]

# How often a command is spoilt: one argument replaced, left out, added, or its key taken from any type.
_SPOILT = 0.12
# A script with another script's arguments is noise; SPOP without its count takes a member by chance; inside MULTI the
# store finds a wrong subcommand when it executes, not when it queues (their errors stand in cases/).
_NEVER_SPOILT = (b'EVAL', b'SPOP', b'XGROUP', b'XINFO', b'OBJECT')


@cache
def patterns(group: str) -> list[Draw]:
    """Return what draws a command of a group of the vocabulary, one function a line."""
    lines = (line.strip() for line in GROUPS[group].splitlines())
    return [compile_pattern(line, POOLS) for line in lines if line]


def spoilt_now_and_then(command: list[bytes], chance: random.Random) -> list[bytes]:
    """Return the command, or with some probability one with a wrong argument, arity or type."""
    return command if command[0] in _NEVER_SPOILT or chance.random() >= _SPOILT else _spoil(command, chance)


def _spoil(command: list[bytes], chance: random.Random) -> list[bytes]:
    at = chance.randrange(1, len(command)) if len(command) > 1 else 0
    if at == 0:
        return [*command, chance.choice(ODDITIES)]
    kind = chance.randrange(5)
    if kind == 0:
        return command[:-1]
    if kind == 1:
        return [*command, chance.choice(ODDITIES)]
    if kind == 2:
        return [*command[:at], chance.choice(ODDITIES), *command[at + 1 :]]
    return [command[0], chance.choice(POOLS['key']), *command[2:]]


def commands(groups: Sequence[str], spoilt: bool = True) -> st.SearchStrategy[Command]:
    """Return a strategy for single commands of some groups of the vocabulary, some of them spoilt."""
    of_any_group = st.one_of([st.sampled_from(patterns(group)) for group in groups])

    @st.composite
    def command(draw: st.DrawFn) -> Command:
        pattern = draw(of_any_group)
        chance = draw(st.randoms(use_true_random=False, note_method_calls=False))
        words = pattern(chance)
        return tuple(spoilt_now_and_then(words, chance) if spoilt else words)

    return command()


def programs(
    groups: Sequence[str], clients: str = 'a', parts: int = 12, spoilt: bool = True
) -> st.SearchStrategy[list[Step]]:
    """Return a strategy for programs: which client sends which command.

    Args:
        groups: names from the vocabulary.
        clients: one letter per client.
        parts: the largest number of parts, each of up to 12 commands.
        spoilt: whether some commands have a wrong argument, arity or type.
    """
    step = st.tuples(st.sampled_from(list(clients)), commands(groups, spoilt))
    # A list of lists, since hypothesis makes a list about five long however long it may be.
    return st.lists(st.lists(step, max_size=12), min_size=1, max_size=parts).map(
        lambda lists: [step for part in lists for step in part]
    )
