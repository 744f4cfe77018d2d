"""The sandbox's own table functions do what Lua's do, comparison by comparison; only that they can be interrupted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lupa.lua51 import LuaRuntime

import rq_leveldb.store

Both = Callable[..., tuple[bytes, bytes]]

# As if every table were too large for C.
_LARGE = [('SHORT = 100', 'SHORT = -1'), ('MOVED = 100000', 'MOVED = -100')]

_COMPARE = b"""
local make = ...
local original, ours = {}, {}
for name, f in pairs(table) do
  original[name], ours[name] = f, f
end
local function nothing() end
make(ours, error, type, nothing, nothing)

local ORDERS = {
  less = function(a, b) return a < b end,
  never = function() return false end,
  always = function() return true end,
  less_or_equal = function(a, b) return a <= b end,
}

local function sorted(library, order, ...)
  local t, log = { ... }, {}
  local before = ORDERS[order]
  local ok, message = pcall(library.sort, t, before and function(a, b)
    log[#log + 1] = tostring(a) .. '/' .. tostring(b)
    return before(a, b)
  end)
  for index = 1, select('#', ...) do
    log[#log + 1] = tostring(t[index])
  end
  return tostring(ok) .. tostring(message):gsub('^.-:%d+: ', '') .. table.concat(log, ' ')
end

local function moved(library, name, size, position)
  local t = {}
  for index = 1, size do
    t[index] = index
  end
  local result
  if name == 'insert' then
    result = library.insert(t, position, 'new')
  else
    result = library.remove(t, position)
  end
  local shown = { tostring(result) }
  for index = -10, 30 do
    shown[#shown + 1] = tostring(t[index])
  end
  return table.concat(shown, ' ')
end

return function(what, ...)
  local f = what == 'sort' and sorted or moved
  return f(original, ...), f(ours, ...)
end
"""


@pytest.fixture(scope='module')
def both() -> Both:
    """Call a function both ways; what came of it as text."""
    lua = LuaRuntime(encoding=None, unpack_returned_tuples=True)
    source = (Path(rq_leveldb.store.__file__).with_name('lua') / 'tables.lua').read_text()
    for wanted, changed in _LARGE:
        assert wanted in source
        source = source.replace(wanted, changed)
    function: Both = lua.execute(_COMPARE, lua.execute(source.encode()))
    return function


_NUMBERS = st.lists(st.integers(-5, 5) | st.floats(), max_size=60)
_WORDS = st.lists(st.binary(max_size=3), max_size=60)
_MIXED = st.lists(st.integers(-5, 5) | st.binary(max_size=3), max_size=12)


@given(_NUMBERS | _WORDS | _MIXED, st.sampled_from(['', 'less', 'never', 'always', 'less_or_equal']))
def test_sorting_asks_the_same_questions_in_the_same_order(
    both: Both, values: list[float] | list[bytes], order: str
) -> None:
    theirs, ours = both(b'sort', order.encode(), *values)
    assert ours == theirs


@given(st.sampled_from([b'insert', b'remove']), st.integers(0, 12), st.floats(-9, 20))
def test_moving(both: Both, name: bytes, size: int, position: float) -> None:
    theirs, ours = both(b'move', name, size, position)
    assert ours == theirs
