-- cjson with the conventions of the one in Redis: an empty table is {}, null is a value of its own, a list with few
-- holes has nulls in it, 14 significant digits, nesting up to 1000. All of that can be set, for one script.

return function(string, bad_argument, next, spend)
  local type, select, tostring, tonumber, error, floor = type, select, tostring, tonumber, error, math.floor
  local byte, char, sub, format, find, gsub = string.byte, string.char, string.sub, string.format, string.find, string.gsub
  local concat, huge = table.concat, math.huge
  local null = newproxy()
  local raise -- an error at the place in the script

  local DEEPEST = 7998 -- whatever is set: what the stack of Redis has room for
  local encode_depth, decode_depth, keep_buffer
  local sparse_convert, sparse_ratio, sparse_safe, digits, invalid_numbers, read_invalid_numbers

  -- Encoding ----------------------------------------------------------------------------------------------------------

  local ESCAPES = { ['"'] = '\\"', ['\\'] = '\\\\', ['/'] = '\\/', ['\b'] = '\\b', ['\f'] = '\\f', ['\n'] = '\\n',
    ['\r'] = '\\r', ['\t'] = '\\t', ['\127'] = '\\u007f' }
  for code = 0, 31 do
    ESCAPES[char(code)] = ESCAPES[char(code)] or format('\\u%04x', code)
  end

  local function encode_string(words)
    spend(#words)
    return '"' .. gsub(words, '[%c"\\/\127%z]', ESCAPES) .. '"'
  end

  local function encode_number(number)
    if number ~= number or number == huge or number == -huge then
      if invalid_numbers == 'null' then
        return 'null'
      elseif not invalid_numbers then
        raise('Cannot serialise number: must not be NaN or Inf')
      elseif number ~= number then
        return 'nan'
      end
    end
    return format(digits, number)
  end

  -- The highest index if the table is a list, else nil.
  local function list_length(t)
    local highest, count = 0, 0
    for key in next, t do
      if type(key) ~= 'number' or key < 1 or key ~= floor(key) then
        return nil
      end
      if key > highest then
        highest = key
      end
      count = count + 1
    end
    if sparse_ratio > 0 and highest > count * sparse_ratio and highest > sparse_safe then
      if sparse_convert then
        return nil
      end
      raise('Cannot serialise table: excessively sparse array')
    end
    return highest
  end

  local encode_value

  local function encode_table(t, depth, out)
    if depth > encode_depth or depth >= DEEPEST then
      raise('Cannot serialise, excessive nesting (' .. depth .. ')')
    end
    local length = list_length(t)
    if length and length > 0 then
      for index = 1, length do
        out[#out + 1] = index == 1 and '[' or ','
        encode_value(t[index], depth, out)
      end
      out[#out + 1] = ']'
      return
    end
    local separator = '{'
    for key, value in next, t do
      out[#out + 1] = separator
      separator = ','
      if type(key) == 'number' then
        out[#out + 1] = '"' .. encode_number(key) .. '":'
      elseif type(key) == 'string' then
        out[#out + 1] = encode_string(key) .. ':'
      else
        raise('Cannot serialise ' .. type(key) .. ': table key must be a number or string')
      end
      encode_value(value, depth, out)
    end
    out[#out + 1] = separator == '{' and '{}' or '}'
  end

  function encode_value(value, depth, out)
    local kind = type(value)
    if kind == 'string' then
      out[#out + 1] = encode_string(value)
    elseif kind == 'number' then
      out[#out + 1] = encode_number(value)
    elseif kind == 'boolean' then
      out[#out + 1] = tostring(value)
    elseif kind == 'table' then
      encode_table(value, depth + 1, out)
    elseif kind == 'nil' or value == null then
      out[#out + 1] = 'null'
    else
      raise('Cannot serialise ' .. kind .. ': type not supported')
    end
  end

  -- Decoding ----------------------------------------------------------------------------------------------------------

  local SIMPLE_ESCAPES = { [34] = '"', [92] = '\\', [47] = '/', [98] = '\b', [102] = '\f', [110] = '\n', [114] = '\r',
    [116] = '\t' }

  local function utf8(code)
    if code < 0x80 then
      return char(code)
    elseif code < 0x800 then
      return char(0xC0 + floor(code / 64), 0x80 + code % 64)
    elseif code < 0x10000 then
      return char(0xE0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
    end
    return char(0xF0 + floor(code / 262144), 0x80 + floor(code / 4096) % 64, 0x80 + floor(code / 64) % 64,
      0x80 + code % 64)
  end

  local function unexpected(wanted, found, position)
    raise('Expected ' .. wanted .. ' but found ' .. found .. ' at character ' .. position)
  end

  local function read_escape(words, at, wanted)
    local code = byte(words, at + 1)
    if code == 117 then
      local number = tonumber(find(words, '^%x%x%x%x', at + 2) and sub(words, at + 2, at + 5) or '', 16)
      if not number then
        unexpected(wanted, 'invalid unicode escape code', at)
      end
      if number < 0xD800 or number > 0xDFFF then
        return utf8(number), at + 6
      end
      local second = number < 0xDC00 and find(words, '^\\u[dD][c-fC-F]%x%x', at + 6)
        and tonumber(sub(words, at + 8, at + 11), 16)
      if not second then
        unexpected(wanted, 'invalid unicode escape code', at)
      end
      return utf8((number - 0xD800) * 1024 + second - 0xDC00 + 0x10000), at + 12
    end
    local plain = code and SIMPLE_ESCAPES[code]
    if not plain then
      unexpected(wanted, 'invalid escape code', at)
    end
    return plain, at + 2
  end

  -- `at` is the quote's position.
  local function read_string(words, at, wanted)
    local pieces
    at = at + 1
    while true do
      local stop = find(words, '["\\%z]', at)
      local code = stop and byte(words, stop)
      if not stop or code == 0 then
        unexpected(wanted, 'unexpected end of string', stop or #words + 1)
      end
      local piece = sub(words, at, stop - 1)
      if code == 34 then
        if not pieces then
          return piece, stop + 1
        end
        pieces[#pieces + 1] = piece
        return concat(pieces), stop + 1
      end
      pieces = pieces or {}
      pieces[#pieces + 1] = piece
      pieces[#pieces + 1], at = read_escape(words, stop, wanted)
    end
  end

  local PUNCTUATION = { [123] = 'T_OBJ_BEGIN', [125] = 'T_OBJ_END', [91] = 'T_ARR_BEGIN', [93] = 'T_ARR_END',
    [44] = 'T_COMMA', [58] = 'T_COLON' }

  -- Where a number ends as C's strtod reads it, nil for none. One loop a time, so that none goes back over what another
  -- has matched.
  local function number_end(words, at)
    local from = find(words, '^[%+%-]', at) and at + 1 or at
    local _, last = find(words, '^0[xX]%x', from)
    if not last then
      _, last = find(words, '^0[xX]%.%x', from)
      last = last and from + 1
    end
    local exponent = '^[eE][%+%-]?%d+'
    local fraction, _
    if last then
      _, last = find(words, '^%x*', from + 2)
      _, fraction = find(words, '^%.%x*', last + 1)
      exponent = '^[pP][%+%-]?%d+'
    else
      _, last = find(words, '^%d+', from)
      if last then
        _, fraction = find(words, '^%.%d*', last + 1)
      else
        _, fraction = find(words, '^%.%d+', from)
      end
    end
    last = fraction or last
    if last then
      _, exponent = find(words, exponent, last + 1)
      return exponent or last
    end
    _, last = find(words, '^[nN][aA][nN]', from)
    if last then
      return last
    end
    _, last = find(words, '^[iI][nN][fF]', from)
    if last then
      local _, whole = find(words, '^[iI][nN][iI][tT][yY]', last + 1)
      return whole or last
    end
  end

  -- Whether what stands there can only be a number that JSON does not have.
  local function is_invalid_number(words, at)
    local from = byte(words, at) == 45 and at + 1 or at
    return find(words, '^%+', at) or find(words, '^0[xX%d]', from) or find(words, '^[iI][nN][fF]', from)
      or find(words, '^[nN][aA][nN]', from)
  end

  -- The next token: its name, its value, where it begins and where the next one may begin.
  local function token(words, at, wanted)
    at = find(words, '[^ \t\r\n]', at) or #words + 1
    local code = byte(words, at)
    if not code then
      return 'T_END', nil, at, at
    end
    local name = PUNCTUATION[code]
    if name then
      return name, nil, at, at + 1
    end
    if code == 34 then
      local value, after = read_string(words, at, wanted)
      return 'T_STRING', value, at, after
    end
    local digit = code == 45 or code >= 48 and code <= 57
    local invalid = is_invalid_number(words, at)
    if digit or invalid and read_invalid_numbers then
      local last = (read_invalid_numbers or not invalid) and number_end(words, at)
      if last then
        return 'T_NUMBER', tonumber(sub(words, at, last)), at, last + 1
      end
      return 'invalid number', nil, at, at + 1
    end
    if sub(words, at, at + 3) == 'true' then
      return 'T_BOOLEAN', true, at, at + 4
    elseif sub(words, at, at + 4) == 'false' then
      return 'T_BOOLEAN', false, at, at + 5
    elseif sub(words, at, at + 3) == 'null' then
      return 'T_NULL', null, at, at + 4
    end
    return 'invalid token', nil, at, at + 1
  end

  local read_value

  local function nested(depth, at)
    if depth > decode_depth or depth > DEEPEST then
      raise('Found too many nested data structures (' .. depth .. ') at character ' .. at)
    end
  end

  local function read_object(words, at, depth)
    nested(depth, at - 1)
    local object = {}
    local name, key, from, after = token(words, at, 'object key string')
    if name == 'T_OBJ_END' then
      return object, after
    end
    while true do
      if name ~= 'T_STRING' then
        unexpected('object key string', name, from)
      end
      name, _, from, after = token(words, after, 'colon')
      if name ~= 'T_COLON' then
        unexpected('colon', name, from)
      end
      object[key], after = read_value(words, after, depth)
      name, _, from, after = token(words, after, 'comma or object end')
      if name == 'T_OBJ_END' then
        return object, after
      end
      if name ~= 'T_COMMA' then
        unexpected('comma or object end', name, from)
      end
      name, key, from, after = token(words, after, 'object key string')
    end
  end

  local function read_list(words, at, depth)
    nested(depth, at - 1)
    local list, count = {}, 0
    local name, _, from, after = token(words, at, 'value')
    if name == 'T_ARR_END' then
      return list, after
    end
    after = from
    while true do
      count = count + 1
      list[count], after = read_value(words, after, depth)
      name, _, from, after = token(words, after, 'comma or array end')
      if name == 'T_ARR_END' then
        return list, after
      end
      if name ~= 'T_COMMA' then
        unexpected('comma or array end', name, from)
      end
    end
  end

  function read_value(words, at, depth)
    local name, value, from, after = token(words, at, 'value')
    if name == 'T_OBJ_BEGIN' then
      return read_object(words, after, depth + 1)
    elseif name == 'T_ARR_BEGIN' then
      return read_list(words, after, depth + 1)
    elseif name == 'T_STRING' or name == 'T_NUMBER' or name == 'T_BOOLEAN' or name == 'T_NULL' then
      return value, after
    end
    unexpected('value', name, from)
  end

  -- What scripts see --------------------------------------------------------------------------------------------------

  -- Errors carry the place in the script, so they are raised by the function that the script called.
  local FAILED = {}
  local failure
  function raise(words)
    failure = words
    error(FAILED, 0)
  end

  local pcall = pcall
  local function guarded(results, f, ...)
    local ok, value, after = pcall(f, ...)
    if not ok then
      if value == FAILED then
        error(failure, 3)
      end
      error(value, 0)
    end
    return results(value, after)
  end

  local cjson = { null = null, _NAME = 'cjson', _VERSION = '2.1.0' }

  function cjson.encode(...)
    if select('#', ...) ~= 1 then
      bad_argument(1, 'encode', 'expected 1 argument')
    end
    local out = {}
    return (guarded(function()
      return concat(out)
    end, encode_value, (...), 0, out))
  end

  function cjson.decode(...)
    if select('#', ...) ~= 1 then
      bad_argument(1, 'decode', 'expected 1 argument')
    end
    local words = ...
    if type(words) ~= 'string' and type(words) ~= 'number' then
      bad_argument(1, 'decode', 'string expected, got ' .. type(words))
    end
    words = tostring(words)
    spend(#words)
    return (guarded(function(value, after)
      local name, _, from = token(words, after, 'the end')
      if name ~= 'T_END' then
        error('Expected the end but found ' .. name .. ' at character ' .. from, 4)
      end
      return value
    end, read_value, words, 1, 0))
  end

  -- Settings hold until the end of the script; in Redis they stay for the scripts of others. The functions below are
  -- called by those that the script calls, so that what they raise has its place in the script.

  local function fault(number, name, words)
    error('bad argument #' .. number .. " to '" .. name .. "' (" .. words .. ')', 4)
  end

  local function at_most(most, name, ...)
    if select('#', ...) > most then
      fault(most + 1, name, 'found too many arguments')
    end
    return ...
  end

  local function whole(number, name, value, least, most)
    local wanted = tonumber(value)
    if type(value) ~= 'string' and type(value) ~= 'number' or not wanted then
      fault(number, name, 'number expected, got ' .. type(value))
    end
    wanted = wanted < 0 and -floor(-wanted) or floor(wanted)
    if not (wanted >= least and wanted <= most) then
      fault(1, name, 'expected integer between ' .. least .. ' and ' .. format('%d', most))
    end
    return wanted
  end

  local SWITCH = { on = true, off = false }
  local INVALID_NUMBERS = { on = true, off = false, null = 'null' }

  local function choice(name, value, options)
    if type(value) == 'boolean' then
      return value
    end
    if type(value) ~= 'string' and type(value) ~= 'number' then
      fault(1, name, 'string expected, got ' .. type(value))
    end
    if options[value] == nil then
      fault(1, name, "invalid option '" .. value .. "'")
    end
    return options[value]
  end

  local MAX_INTEGER = 2147483647

  function cjson.encode_number_precision(...)
    local value = at_most(1, 'encode_number_precision', ...)
    if value ~= nil then
      digits = '%.' .. whole(1, 'encode_number_precision', value, 1, 14) .. 'g'
    end
    return tonumber(sub(digits, 3, -2))
  end

  function cjson.encode_invalid_numbers(...)
    local value = at_most(1, 'encode_invalid_numbers', ...)
    if value ~= nil then
      invalid_numbers = choice('encode_invalid_numbers', value, INVALID_NUMBERS)
    end
    return invalid_numbers
  end

  function cjson.decode_invalid_numbers(...)
    local value = at_most(1, 'decode_invalid_numbers', ...)
    if value ~= nil then
      read_invalid_numbers = choice('decode_invalid_numbers', value, SWITCH)
    end
    return read_invalid_numbers
  end

  function cjson.encode_sparse_array(...)
    local convert, ratio, safe = at_most(3, 'encode_sparse_array', ...)
    if convert ~= nil then
      sparse_convert = choice('encode_sparse_array', convert, SWITCH)
    end
    if ratio ~= nil then
      sparse_ratio = whole(2, 'encode_sparse_array', ratio, 0, MAX_INTEGER)
    end
    if safe ~= nil then
      sparse_safe = whole(3, 'encode_sparse_array', safe, 0, MAX_INTEGER)
    end
    return sparse_convert, sparse_ratio, sparse_safe
  end

  function cjson.encode_max_depth(...)
    local value = at_most(1, 'encode_max_depth', ...)
    if value ~= nil then
      encode_depth = whole(1, 'encode_max_depth', value, 1, MAX_INTEGER)
    end
    return encode_depth
  end

  function cjson.decode_max_depth(...)
    local value = at_most(1, 'decode_max_depth', ...)
    if value ~= nil then
      decode_depth = whole(1, 'decode_max_depth', value, 1, MAX_INTEGER)
    end
    return decode_depth
  end

  function cjson.encode_keep_buffer(...)
    local value = at_most(1, 'encode_keep_buffer', ...)
    if value ~= nil then
      keep_buffer = choice('encode_keep_buffer', value, SWITCH)
    end
    return keep_buffer
  end

  local function reset()
    encode_depth, decode_depth, keep_buffer = 1000, 1000, true
    sparse_convert, sparse_ratio, sparse_safe = false, 2, 10
    digits, invalid_numbers, read_invalid_numbers = '%.14g', false, true
  end

  reset()
  return cjson, reset
end
