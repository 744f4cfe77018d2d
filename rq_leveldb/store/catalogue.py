"""What Redis tells of its commands, beyond what the table needs to run them: COMMAND INFO, DOCS and GETKEYS, HELP.

The file beside this module was written by ``python -m compat_tests.catalogue`` from the replies of a real server: a
line for each command and subcommand of the table, its name, a tab, and what is told of it as JSON:

==========  ===========================================================================================
categories  of ACLs
tips        for clients that distribute commands
keys        where its keys are and what is done with them (https://redis.io/docs/latest/develop/reference/key-specs)
docs        COMMAND DOCS, without the subcommands
help        the lines of HELP, of what has subcommands
==========  ===========================================================================================

It is read when somebody asks and not kept: that is seldom, and takes ten milliseconds for all of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


def read(name: bytes) -> Entry:
    """
    :param name: of a command of the table, in lower case; that of a subcommand is ``client|list``
    :returns: what is told of it
    """
    return dict(entries(name.__eq__))[name]


def entries(wanted: Callable[[bytes], bool]) -> Iterator[tuple[bytes, Entry]]:
    """:returns: the names that are wanted, each with what is told of it"""
    for line in Path(__file__).with_name('catalogue.txt').read_bytes().splitlines():
        name, _, text = line.partition(b'\t')
        if wanted(name):
            yield name, json.loads(text)
