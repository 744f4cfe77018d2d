-- The functions of `table` that are loops in C, which a count hook does not see. Where the loop is short it is left to
-- C; else it runs here, where it can be interrupted, and does the same in the same order.
--
-- Arguments: the library; what raises the error of a bad argument, and names its type; `refuse_change` raises an error
-- if the table must not be changed (one that has something in it may); `spend` is told how much work is done in C.

local SHORT = 100 -- elements that are sorted in C: a sort of n may take n * n comparisons
local MOVED = 100000 -- elements that are moved in C

return function(table, bad_argument, type_name, refuse_change, spend)
  local type, tonumber, select, error, next = type, tonumber, select, error, next
  local ceil, floor, rawget, rawset, getmetatable = math.ceil, math.floor, rawget, rawset, getmetatable
  local raw_sort, raw_insert, raw_remove = table.sort, table.insert, table.remove

  local function check_table(name, count, t, depth)
    if type(t) ~= 'table' then
      bad_argument(1, name, 'table expected, got ' .. type_name(count, 1, t), depth or 1)
    end
  end

  -- Sorting -----------------------------------------------------------------------------------------------------------

  -- What `a < b` is inside of a function in C: its errors name no place.
  local function less(a, b)
    local kind, other = type(a), type(b)
    if kind ~= other then
      error('attempt to compare ' .. kind .. ' with ' .. other, 0)
    end
    if kind ~= 'number' and kind ~= 'string' then
      local one, two = getmetatable(a), getmetatable(b)
      local handler = type(one) == 'table' and rawget(one, '__lt')
      if not handler or type(two) ~= 'table' or rawget(two, '__lt') ~= handler then
        error('attempt to compare two ' .. kind .. ' values', 0)
      end
    end
    return a < b
  end

  -- Quicksort with the median of three as pivot, the shorter part first. Which elements are compared, and in which
  -- order, is seen by scripts: it decides the order of equal elements. So it is that of Lua 5.1.
  local INVALID = true -- what is returned when `before` contradicts itself

  local function sort_range(t, low, high, before)
    while low < high do
      local first, last = rawget(t, low), rawget(t, high)
      if before(last, first) then
        rawset(t, low, last)
        rawset(t, high, first)
      end
      if high - low == 1 then
        return
      end
      local middle = floor((low + high) / 2)
      local pivot = rawget(t, middle)
      first = rawget(t, low)
      if before(pivot, first) then
        rawset(t, middle, first)
        rawset(t, low, pivot)
      else
        last = rawget(t, high)
        if before(last, pivot) then
          rawset(t, middle, last)
          rawset(t, high, pivot)
        end
      end
      if high - low == 2 then
        return
      end
      pivot = rawget(t, middle)
      rawset(t, middle, rawget(t, high - 1))
      rawset(t, high - 1, pivot)
      local i, j = low, high - 1
      while true do
        i = i + 1
        local left = rawget(t, i)
        while before(left, pivot) do
          if i > high then
            return INVALID
          end
          i = i + 1
          left = rawget(t, i)
        end
        j = j - 1
        local right = rawget(t, j)
        while before(pivot, right) do
          if j < low then
            return INVALID
          end
          j = j - 1
          right = rawget(t, j)
        end
        if j < i then
          break
        end
        rawset(t, i, right)
        rawset(t, j, left)
      end
      local other = rawget(t, high - 1)
      rawset(t, high - 1, rawget(t, i))
      rawset(t, i, other)
      if i - low < high - i then
        if sort_range(t, low, i - 1, before) then
          return INVALID
        end
        low = i + 1
      else
        if sort_range(t, i + 1, high, before) then
          return INVALID
        end
        high = i - 1
      end
    end
  end

  -- Numbers alone, or strings alone: they need no function to be compared.
  local function sort_plain(t, low, high)
    while low < high do
      local first, last = t[low], t[high]
      if last < first then
        t[low], t[high] = last, first
        first, last = last, first
      end
      if high - low == 1 then
        return
      end
      local middle = floor((low + high) / 2)
      local pivot = t[middle]
      if pivot < first then
        t[middle], t[low] = first, pivot
        pivot = first
      elseif last < pivot then
        t[middle], t[high] = last, pivot
        pivot = last
      end
      if high - low == 2 then
        return
      end
      t[middle], t[high - 1] = t[high - 1], pivot
      local i, j = low, high - 1
      while true do
        i = i + 1
        local left = t[i]
        while left < pivot do
          i = i + 1
          left = t[i]
        end
        j = j - 1
        local right = t[j]
        while pivot < right do
          j = j - 1
          right = t[j]
        end
        if j < i then
          break
        end
        t[i], t[j] = right, left
      end
      t[high - 1], t[i] = t[i], t[high - 1]
      if i - low < high - i then
        sort_plain(t, low, i - 1)
        low = i + 1
      else
        sort_plain(t, i + 1, high)
        high = i - 1
      end
    end
  end

  local function is_plain(t, size)
    if getmetatable(t) ~= nil then
      return false
    end
    local kind = type(t[1])
    if kind ~= 'number' and kind ~= 'string' then
      return false
    end
    for index = 2, size do
      if type(t[index]) ~= kind then
        return false
      end
    end
    return true
  end

  function table.sort(...)
    local t, before = ...
    local count = select('#', ...)
    check_table('sort', count, t)
    if before ~= nil and type(before) ~= 'function' then
      bad_argument(2, 'sort', 'function expected, got ' .. type(before))
    end
    local size = #t
    if size <= SHORT then
      spend(size)
      return raw_sort(t, before)
    end
    if before == nil and is_plain(t, size) then
      return sort_plain(t, 1, size)
    end
    if sort_range(t, 1, size, before or less) then
      error('invalid order function for sorting', 2)
    end
  end

  -- Moving ------------------------------------------------------------------------------------------------------------

  -- As C makes a whole number of another.
  local function whole(number)
    return number < 0 and ceil(number) or floor(number)
  end

  function table.insert(...)
    local t, place, value = ...
    local count = select('#', ...)
    check_table('insert', count, t)
    if count == 2 then
      refuse_change(t)
      return raw_insert(t, place)
    end
    if count ~= 3 then
      error("wrong number of arguments to 'insert'", 2)
    end
    local position = tonumber(place)
    if not position then
      bad_argument(2, 'insert', 'number expected, got ' .. type(place))
    end
    local size = #t
    -- As in C, which has numbers of 32 bits for positions.
    if not (position > -2147483648 and position < 2147483647) then
      bad_argument(2, 'insert', 'position out of bounds')
    end
    refuse_change(t)
    position = whole(position)
    if size - position <= MOVED then
      spend(size)
      return raw_insert(t, position, value)
    end
    for index = size, position, -1 do
      rawset(t, index + 1, rawget(t, index))
    end
    rawset(t, position, value)
  end

  function table.remove(...)
    local t, place = ...
    check_table('remove', select('#', ...), t)
    if place == nil then
      return raw_remove(t)
    end
    local position = tonumber(place)
    if not position then
      bad_argument(2, 'remove', 'number expected, got ' .. type(place))
    end
    local size = #t
    position = whole(position)
    if not (position >= 1 and position <= size) then
      return
    end
    if size - position <= MOVED then
      spend(size)
      return raw_remove(t, position)
    end
    local removed = rawget(t, position)
    for index = position, size - 1 do
      rawset(t, index, rawget(t, index + 1))
    end
    rawset(t, size, nil)
    return removed
  end

  -- Walking -----------------------------------------------------------------------------------------------------------

  local function check_walk(name, count, t, f)
    check_table(name, count, t, 2)
    if type(f) ~= 'function' then
      bad_argument(2, name, 'function expected, got ' .. type_name(count, 2, f), 1)
    end
  end

  function table.foreach(...)
    local t, f = ...
    check_walk('foreach', select('#', ...), t, f)
    for key, value in next, t do
      local result = f(key, value)
      if result ~= nil then
        return result
      end
    end
  end

  function table.foreachi(...)
    local t, f = ...
    check_walk('foreachi', select('#', ...), t, f)
    for index = 1, #t do
      local result = f(index, rawget(t, index))
      if result ~= nil then
        return result
      end
    end
  end
end
