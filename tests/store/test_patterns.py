"""The sandbox's own pattern matcher means by a pattern what Lua's does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lupa.lua51 import LuaRuntime

import rq_leveldb.store

Both = Callable[..., tuple[bytes, bytes]]

_COMPARE = b"""
local original = { find = string.find, match = string.match, gsub = string.gsub, gmatch = string.gmatch }
local load, text = ..., {}
local function bad_argument(number, name, words)
  error(words)
end
local function type_name(count, number, value)
  return type(value)
end
load(string, text, bad_argument, type_name, function() end, 0)

local function outcome(library, name, ...)
  if name == 'gmatch' then
    local found = {}
    local ok = pcall(function(...)
      for a, b, c in library.gmatch(...) do
        found[#found + 1] = tostring(a) .. '|' .. tostring(b) .. '|' .. tostring(c)
      end
    end, ...)
    return ok and table.concat(found, ';') or 'error'
  end
  local results = { pcall(library[name], ...) }
  if not results[1] then
    return 'error ' .. results[2]:gsub('^.-:%d+: ', '')
  end
  for index = 1, 12 do
    results[index] = tostring(results[index])
  end
  return table.concat(results, ';')
end

return function(name, ...)
  return outcome(original, name, ...), outcome(text, name, ...)
end
"""


@pytest.fixture(scope='module')
def both() -> Both:
    """Call a function of the string library both ways; its outcomes as text."""
    lua = LuaRuntime(encoding=None, unpack_returned_tuples=True)
    source = Path(rq_leveldb.store.__file__).with_name('lua') / 'patterns.lua'
    function: Both = lua.execute(_COMPARE, lua.execute(source.read_bytes()))
    return function


_ITEMS = [
    rb'a', rb'b', rb'.', rb'%a', rb'%d', rb'%s', rb'%w', rb'%A', rb'[ab]', rb'[^a]', rb'[a-c]', rb'[%d]', rb'[]]',
    rb'[^%s]', rb'%%', rb'%.', rb'1', rb'%f[a]', rb'%f[%w]', rb'%bab', rb'%1', rb'$', rb'^', rb'-', rb'(', rb')',
    rb'()', rb'[a-]', rb'[%a-z]', b'\0', rb'%z', rb'%', rb'[',
]  # fmt: skip
_PATTERNS = st.lists(
    st.tuples(st.sampled_from(_ITEMS), st.sampled_from([b'', b'', b'*', b'+', b'-', b'?'])), max_size=6
).map(lambda items: b''.join(item + suffix for item, suffix in items))
_SUBJECTS = st.lists(
    st.sampled_from([b'a', b'b', b'c', b'1', b' ', b'.', b'%', b'\0', b'(', b']', b'-']), max_size=12
).map(b''.join)


@given(subject=_SUBJECTS, pattern=_PATTERNS, start=st.integers(-5, 9))
@settings(max_examples=400, deadline=None)
def test_the_same_matches(both: Both, subject: bytes, pattern: bytes, start: int) -> None:
    for name, arguments in (
        (b'find', (subject, pattern, start)),
        (b'match', (subject, pattern)),
        (b'gmatch', (subject, pattern)),
        (b'gsub', (subject, pattern, b'<%0>')),
        (b'gsub', (subject, pattern, b'%1', 2)),
    ):
        theirs, ours = both(name, *arguments)
        assert ours == theirs, (name, arguments)
