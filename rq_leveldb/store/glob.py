"""Patterns of KEYS, SCAN and PSUBSCRIBE, which match as Redis' do and take time in proportion to pattern and text.

Between two stars every part of a pattern stands for exactly one byte. So a text matches if the parts between the stars
are found one behind the other, each as early as possible, and no backtracking over the stars is ever needed.
"""

from __future__ import annotations

import re


class Glob:
    """:param pattern: ``*`` any bytes, ``?`` one byte, ``[a-c]`` ``[^a-c]`` one of a class; ``\\`` quotes one byte
    :ivar prefix: what every text that matches begins with
    :ivar is_literal: only the text `prefix` itself matches
    :ivar is_prefix: every text that begins with `prefix` matches
    """

    __slots__ = ('_first', '_last', '_length', '_matches_empty', '_middle', 'is_literal', 'is_prefix', 'prefix')

    def __init__(self, pattern: bytes) -> None:
        segments = _split(pattern)
        self.prefix = _literal_start(segments[0])
        whole_first = len(self.prefix) == len(segments[0])
        self.is_literal = whole_first and len(segments) == 1
        self._matches_empty = pattern in (b'', b'*')
        self.is_prefix = (
            whole_first and len(segments) > 1 and not any(segments[1:]) and bool(self.prefix or pattern == b'*')
        )
        self._length = sum(map(len, segments))
        compiled = [re.compile(b''.join(segment), re.DOTALL) for segment in segments]
        self._first = compiled[0]
        self._middle = [part for part, segment in zip(compiled[1:-1], segments[1:-1], strict=True) if segment]
        self._last = (compiled[-1], len(segments[-1])) if len(segments) > 1 else None

    def matches(self, text: bytes) -> bool:
        if self.is_prefix:
            return text.startswith(self.prefix)
        if self.is_literal:
            return text == self.prefix
        if not text:
            return self._matches_empty
        if len(text) < self._length:
            return False
        if self._last is None:
            return self._first.fullmatch(text) is not None
        begin = self._first.match(text)
        if begin is None:
            return False
        last, size = self._last
        end = len(text) - size
        if last.match(text, end) is None:
            return False
        position = begin.end()
        for part in self._middle:
            found = part.search(text, position, end)
            if found is None:
                return False
            position = found.end()
        return position <= end


def _split(pattern: bytes) -> list[list[bytes]]:
    """:returns: what stands between the stars: for each part, for each byte of a text, a regular expression"""
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
            segments[-1].append(re.escape(byte))
    return segments


def _class(pattern: bytes, index: int) -> tuple[bytes, int]:
    """:param index: behind the bracket
    :returns: a regular expression for one byte, and where the pattern goes on; a class that is not closed ends with it
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
    start = b''
    for expression in segment:
        if expression == b'.' or expression[:1] in (b'[', b'('):
            break
        start += expression[-1:]
    return start
