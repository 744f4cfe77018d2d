"""Facts about commands that are not needed to run them: for COMMAND INFO, DOCS and GETKEYS, and HELP.

They are in two files beside this module. The facts in ``catalogue.txt`` are those of Redis: ``python -m
compat_tests.catalogue`` wrote them from the replies of a real server. It has a line for each command and subcommand of
the table, with its name, a tab, and as JSON:

==========  ===========================================================================================
categories  of ACLs
tips        for clients that distribute commands
keys        where its keys are and what is done with them (https://redis.io/docs/latest/develop/reference/key-specs)
docs        COMMAND DOCS, without the summary and the subcommands
help        for each entry of HELP, of what has subcommands: how it is called, and the options that are listed below
==========  ===========================================================================================

The words are our own: ``summaries.txt`` is written by hand and has a sentence for each, after its name and a colon.
COMMAND DOCS and HELP show it.

Both files are read on demand and not cached: that is rare, and takes a few milliseconds for everything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


def read(name: bytes) -> Entry:
    """Return a command's entry.

    Args:
        name: a command of the table, in lower case; a subcommand as ``client|list``.
    """
    return dict(entries(name.__eq__))[name]


def entries(wanted: Callable[[bytes], bool]) -> Iterator[tuple[bytes, Entry]]:
    """Return the wanted names, each with its entry."""
    told = dict(summaries(wanted))
    for name, text in _lines('catalogue.txt', b'\t'):
        if wanted(name):
            entry = json.loads(text)
            entry['docs'] = {'summary': told[name], **entry['docs']}
            yield name, entry


def summaries(wanted: Callable[[bytes], bool]) -> Iterator[tuple[bytes, str]]:
    """Return the wanted names, each with its summary."""
    for name, text in _lines('summaries.txt', b': '):
        if wanted(name):
            yield name, text.decode()


def _lines(file_name: str, separator: bytes) -> Iterator[tuple[bytes, bytes]]:
    for line in Path(__file__).with_name(file_name).read_bytes().splitlines():
        name, _, text = line.partition(separator)
        yield name, text
