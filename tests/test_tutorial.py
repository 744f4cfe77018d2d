"""The tutorial is true: its files are written, its commands are typed, and they print what it says."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

TUTORIAL = Path(__file__).parents[1] / 'docs' / 'tutorial.rst'
_BLOCK = re.compile(r'^\.\. code-block:: (\w+)\n((?:   :.*\n)*)\n((?:   .*\n|\n)+)', re.MULTILINE)
_END = 'the command has ended'
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks() -> Iterator[tuple[str, str, str]]:
    """Return the language, the file name ('' if there is none) and the text of each block."""
    for language, options, text in _BLOCK.findall(TUTORIAL.read_text()):
        caption = re.search(r':caption: (.+)', options)
        yield language, caption[1] if caption else '', re.sub('^   ', '', text, flags=re.MULTILINE).strip() + '\n'


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Return what is typed, and what is printed."""
    for part in re.split(r'^\$ ', text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition('\n')
        yield command, output


def test_tutorial(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    shell = subprocess.Popen(
        ['bash', '--noprofile', '--norc'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        # The port of the HTTP front may be taken by a worker of somebody else.
        env={**os.environ, 'PATH': path, 'PYTHONPATH': str(TUTORIAL.parents[1]), 'RQ_LEVELDB_NO_HTTP': '1'},
    )
    assert shell.stdin is not None
    assert shell.stdout is not None
    checker = doctest.OutputChecker()
    with shell:
        for language, name, text in blocks():
            if language == 'python':
                (tmp_path / name).write_text(text)
                continue
            for command, expected in commands(text):
                shell.stdin.write(f'{command}\necho; echo {_END}\n')
                shell.stdin.flush()
                printed = ''
                while not printed.endswith(f'\n{_END}\n'):
                    line = shell.stdout.readline()
                    assert line, f'{command} ended the shell: {printed}'
                    printed += line
                printed = printed.removesuffix(f'\n{_END}\n')
                assert checker.check_output(expected, printed, _FLAGS), f'$ {command}\n{printed}instead of\n{expected}'
