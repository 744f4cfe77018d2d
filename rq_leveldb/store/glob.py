"""Patterns of KEYS, SCAN and PSUBSCRIBE, which match as in Redis, in time proportional to pattern and text.

Between two stars, every element of a pattern matches exactly one byte. So a text matches if the parts between the stars
are found one after another, each as early as possible, and backtracking over the stars is never needed.
"""

from __future__ import annotations

import re

_MAX_STARS = 1000
_ESCAPED = [re.escape(bytes((byte,))) for byte in range(256)]


class Glob:
    r"""A pattern of KEYS, SCAN or PSUBSCRIBE.

    Args:
        pattern: ``*`` any bytes, ``?`` one byte, ``[a-c]`` ``[^a-c]`` one of a class; ``\`` quotes one byte.

    Attributes:
        prefix: what every matching text begins with.
        is_literal: whether only the text `prefix` itself matches.
        is_prefix: whether every text that begins with `prefix` matches.
    """

    __slots__ = (
        '_length',
        '_matches_empty',
        '_matches_nothing',
        '_parts',
        '_segments',
        'is_literal',
        'is_prefix',
        'prefix',
    )

    def __init__(self, pattern: bytes) -> None:
        segments = _split(pattern)
        self.prefix = _literal_start(segments[0])
        whole_first = len(self.prefix) == len(segments[0])
        self.is_literal = whole_first and len(segments) == 1
        # In Redis the empty text matches only these two, not ** for example.
        self._matches_empty = pattern in (b'', b'*')
        self.is_prefix = (
            whole_first and len(segments) == 2 and not segments[1] and (bool(self.prefix) or pattern == b'*')
        )
        self._length = sum(map(len, segments))
        # Redis recurses at each star except one at the end, and gives up beyond this depth.
        self._matches_nothing = len(segments) - 1 - (not segments[-1]) > _MAX_STARS
        self._segments = segments
        self._parts: list[_Part] | None = None

    def matches(self, text: bytes) -> bool:
        """Return whether the whole text matches the pattern."""
        if self.is_prefix:
            return text.startswith(self.prefix)
        if self.is_literal:
            return text == self.prefix
        if not text:
            return self._matches_empty
        if len(text) < self._length or self._matches_nothing:
            return False
        # Compiled only when a text is long enough: a long pattern costs nothing if all names are short.
        parts = self._parts
        if parts is None:
            parts = self._parts = [_Part(segment) for segment in self._segments]
        first = parts[0]
        if not first.stands_at(text, 0):
            return False
        position = first.size
        if len(parts) == 1:
            return position == len(text)
        end = len(text) - parts[-1].size
        if end < position or not parts[-1].stands_at(text, end):
            return False
        for part in parts[1:-1]:
            position = part.find(text, position, end)
            if position < 0:
                return False
            position += part.size
        return True


class _Part:
    """The part between two stars: a fixed number of bytes, each a certain one or one of a class."""

    __slots__ = ('_literal', '_pattern', 'size')

    def __init__(self, segment: list[bytes]) -> None:
        literal = _literal_start(segment)
        self.size = len(segment)
        self._literal: bytes | None = literal if len(literal) == self.size else None
        self._pattern = None if self._literal is not None else re.compile(b''.join(segment), re.DOTALL)

    def stands_at(self, text: bytes, position: int) -> bool:
        if self._pattern is None:
            return text.startswith(self._literal or b'', position)
        return self._pattern.match(text, position) is not None

    def find(self, text: bytes, position: int, end: int) -> int:
        """Return the first match between `position` and `end`, -1 for none."""
        if self._pattern is None:
            return text.find(self._literal or b'', position, end)
        found = self._pattern.search(text, position, end)
        return -1 if found is None else found.start()


def _split(pattern: bytes) -> list[list[bytes]]:
    """Return the parts between the stars: for each part, a regular expression for each byte."""
    segments: list[list[bytes]] = [[]]
    index = 0
    size = len(pattern)
    while index < size:
        byte = pattern[index : index + 1]
        index += 1
        if byte == b'*':
            # Neighbouring stars are one.
            if segments[-1] or len(segments) == 1:
                segments.append([])
        elif byte == b'?':
            segments[-1].append(b'.')
        elif byte == b'[':
            expression, index = _class(pattern, index)
            segments[-1].append(expression)
        else:
            if byte == b'\\' and index < size:
                byte = pattern[index : index + 1]
                index += 1
            segments[-1].append(_ESCAPED[byte[0]])
    return segments


def _class(pattern: bytes, index: int) -> tuple[bytes, int]:
    """Return a regular expression for one byte, and where the pattern continues; an unclosed class ends with it.

    Args:
        pattern: the whole pattern.
        index: index after the bracket.
    """
    size = len(pattern)
    negated = pattern[index : index + 1] == b'^'
    if negated:
        index += 1
    members: set[int] = set()
    while index < size:
        if pattern[index : index + 1] == b'\\' and index + 1 < size:
            members.add(pattern[index + 1])
            index += 2
        elif pattern[index : index + 1] == b']':
            index += 1
            break
        elif index + 2 < size and pattern[index + 1 : index + 2] == b'-':
            low, high = sorted((pattern[index], pattern[index + 2]))
            members.update(range(low, high + 1))
            index += 3
        else:
            members.add(pattern[index])
            index += 1
    if negated:
        members = set(range(256)) - members
    if not members:
        return b'(?!)', index
    return b'[' + b''.join(b'\\x%02x' % member for member in sorted(members)) + b']', index


def _literal_start(segment: list[bytes]) -> bytes:
    start = []
    for expression in segment:
        if expression == b'.' or expression[:1] in (b'[', b'('):
            break
        start.append(expression[-1:])
    return b''.join(start)
