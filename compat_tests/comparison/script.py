r"""Programs written as one types them into redis-cli: ``SET a "\x00"; b: GET a``."""

from __future__ import annotations

import re

Step = tuple[str, tuple[bytes, ...]]

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<end>;)
  | "(?P<double>(?:[^"\\]|\\.)*)"
  | '(?P<single>[^']*)'
  | (?P<bare>[^\s;"']+)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r'\\(x[0-9a-fA-F]{2}|.)', re.DOTALL)
_CLIENT = re.compile(r'([a-z]):')
_NAMED = {'n': '\n', 'r': '\r', 't': '\t', '0': '\0'}


def parse(text: str) -> list[Step]:
    r"""Return the steps of a program: which client (``a`` where none is named) sends which command.

    Commands end with ``;``. A first word like ``b:`` names the client. In double quotes ``\xHH``, ``\n``, ``\r``,
    ``\t`` and ``\\`` stand for bytes; single quotes are literal; a word ``X{n}`` is n times that letter.

    Raises:
        ValueError: if ``text`` is not such a program.
    """
    steps: list[Step] = []
    words: list[bytes] = []
    client = 'a'
    at = 0
    for match in _TOKEN.finditer(text):
        if match.start() != at:
            break
        at = match.end()
        if match['end']:
            if words:
                steps.append((client, tuple(words)))
            words, client = [], 'a'
        elif match['double'] is not None:
            words.append(_ESCAPE.sub(_unescaped, match['double']).encode('latin-1'))
        elif match['single'] is not None:
            words.append(match['single'].encode('latin-1'))
        elif match['bare']:
            named = _CLIENT.fullmatch(match['bare'])
            if named and not words:
                client = named[1]
            else:
                words.append(_word(match['bare']))
    if at != len(text):
        raise ValueError(f'cannot read {text[at:]!r}')
    if words:
        steps.append((client, tuple(words)))
    return steps


def _word(text: str) -> bytes:
    repeated = re.fullmatch(r'(\w)\{(\d+)\}', text)
    return (repeated[1] * int(repeated[2]) if repeated else text).encode('latin-1')


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if len(code) == 3 else _NAMED.get(code, code)
