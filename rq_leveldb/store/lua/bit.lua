-- The `bit` library (bitop.luajit.org): 32 bit integers, of which the result is always signed.

return function(type_name)
  local error, select, tonumber, floor, format, upper = error, select, tonumber, math.floor, string.format, string.upper
  local TWO_32, TWO_31 = 4294967296, 2147483648

  -- Adding and taking away 1.5 * 2^52 rounds to the nearest even whole number.
  local ROUND = 6755399441055744

  local function unsigned(number)
    return ((number + ROUND) - ROUND) % TWO_32
  end

  local function signed(number)
    return number >= TWO_31 and number - TWO_32 or number
  end

  local AND, OR, XOR = {}, {}, {}
  for a = 0, 15 do
    for b = 0, 15 do
      local both, either, differ, weight = 0, 0, 0, 1
      local x, y = a, b
      for _ = 1, 4 do
        local i, j = x % 2, y % 2
        if i == 1 and j == 1 then
          both = both + weight
        end
        if i == 1 or j == 1 then
          either = either + weight
        end
        if i ~= j then
          differ = differ + weight
        end
        x, y, weight = floor(x / 2), floor(y / 2), weight * 2
      end
      AND[a * 16 + b], OR[a * 16 + b], XOR[a * 16 + b] = both, either, differ
    end
  end

  local function combine(table, a, b)
    local result, weight = 0, 1
    for _ = 1, 8 do
      local i, j = a % 16, b % 16
      result = result + table[i * 16 + j] * weight
      a, b, weight = (a - i) / 16, (b - j) / 16, weight * 16
    end
    return result
  end

  local function argument(name, number, ...)
    local value = (select(number, ...))
    local converted = tonumber(value)
    if not converted or converted ~= converted or converted == 1 / 0 or converted == -1 / 0 then
      if converted then
        return 0
      end
      local found = type_name(select('#', ...), number, value)
      error('bad argument #' .. number .. " to '" .. name .. "' (number expected, got " .. found .. ')', 3)
    end
    return unsigned(converted)
  end

  local bit = {}

  function bit.tobit(...)
    return signed((argument('tobit', 1, ...)))
  end

  function bit.bnot(...)
    return signed(TWO_32 - 1 - argument('bnot', 1, ...))
  end

  for name, table in next, { band = AND, bor = OR, bxor = XOR } do
    bit[name] = function(...)
      local result = argument(name, 1, ...)
      for number = 2, select('#', ...) do
        result = combine(table, result, (argument(name, number, ...)))
      end
      return signed(result)
    end
  end

  local function shift_left(value, by)
    return value * 2 ^ by % TWO_32
  end

  local function shift_right(value, by)
    return floor(value / 2 ^ by)
  end

  function bit.lshift(...)
    local value, by = argument('lshift', 1, ...), argument('lshift', 2, ...) % 32
    return signed(shift_left(value, by))
  end

  function bit.rshift(...)
    local value, by = argument('rshift', 1, ...), argument('rshift', 2, ...) % 32
    return signed(shift_right(value, by))
  end

  function bit.arshift(...)
    local value, by = argument('arshift', 1, ...), argument('arshift', 2, ...) % 32
    return floor(signed(value) / 2 ^ by)
  end

  function bit.rol(...)
    local value, by = argument('rol', 1, ...), argument('rol', 2, ...) % 32
    return signed(shift_left(value, by) + shift_right(value, 32 - by))
  end

  function bit.ror(...)
    local value, by = argument('ror', 1, ...), argument('ror', 2, ...) % 32
    return signed(shift_right(value, by) + shift_left(value, 32 - by))
  end

  function bit.bswap(...)
    local value = argument('bswap', 1, ...)
    local result = 0
    for _ = 1, 4 do
      local lowest = value % 256
      result = result * 256 + lowest
      value = (value - lowest) / 256
    end
    return signed(result)
  end

  function bit.tohex(...)
    local value = argument('tohex', 1, ...)
    local digits = 8
    if select('#', ...) > 1 then
      digits = signed((argument('tohex', 2, ...)))
    end
    local capital = digits < 0
    if capital then
      digits = -digits
    end
    if digits > 8 then
      digits = 8
    end
    if digits == 0 then
      return ''
    end
    local words = format('%0' .. digits .. 'x', value % 16 ^ digits)
    return capital and upper(words) or words
  end

  return bit
end
