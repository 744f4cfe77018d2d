"""What is told of commands beyond what the table needs to run them: COMMAND INFO, DOCS and GETKEYS, HELP.

It is in two files beside this module. The facts are those of Redis: ``catalogue.txt`` was written by ``python -m
compat_tests.catalogue`` from the replies of a real server. It has a line for each command and subcommand of the table,
its name, a tab, and as JSON:

==========  ===========================================================================================
categories  of ACLs
tips        for clients that distribute commands
keys        where its keys are and what is done with them (https://redis.io/docs/latest/develop/reference/key-specs)
docs        COMMAND DOCS, without the summary and the subcommands
help        for each entry of HELP, of what has subcommands: how it is called, and the options that are listed below
==========  ===========================================================================================

The words are our own: ``summaries.txt`` is written by hand and has a sentence for each, after its name and a colon.
COMMAND DOCS shows it, and so does HELP.

They are read when somebody asks and not kept: that is seldom, and takes some milliseconds for all of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


def read(name: bytes) -> Entry:
    """Return what is told of it.

    Args:
        name: of a command of the table, in lower case; that of a subcommand is ``client|list``.
    """
    return dict(entries(name.__eq__))[name]


def entries(wanted: Callable[[bytes], bool]) -> Iterator[tuple[bytes, Entry]]:
    """Return the names that are wanted, each with what is told of it."""
    told = dict(summaries(wanted))
    for name, text in _lines('catalogue.txt', b'\t'):
        if wanted(name):
            entry = json.loads(text)
            entry['docs'] = {'summary': told[name], **entry['docs']}
            yield name, entry


def summaries(wanted: Callable[[bytes], bool]) -> Iterator[tuple[bytes, str]]:
    """Return the names that are wanted, each with its summary."""
    for name, text in _lines('summaries.txt', b': '):
        if wanted(name):
            yield name, text.decode()


def _lines(file_name: str, separator: bytes) -> Iterator[tuple[bytes, bytes]]:
    for line in Path(__file__).with_name(file_name).read_bytes().splitlines():
        name, _, text = line.partition(separator)
        yield name, text
