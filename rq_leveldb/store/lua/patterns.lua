-- string.find, match, gmatch and gsub that can be interrupted.
--
-- Lua's own matcher is a loop in C: a count hook does not see it, a pattern such as ('.-'):rep(20) .. 'b' keeps it busy
-- for ever, and a very long pattern overflows the C stack. So the work is estimated first. What is cheap goes to Lua's
-- matcher; the rest to the one below, which is written in Lua and is therefore subject to the limits. Patterns mean the
-- same in both (Lua 5.1's manual, 5.4.1).

local MAX_STEPS = 10000000 -- of C: some tens of ms; another number is given by tests
local MAX_PATTERN = 1000 -- characters, of which each may be a level of the C stack
local MAX_KNOWN = 500

return function(string, text, bad_argument, type_name, spend, max_steps)
  max_steps = max_steps or MAX_STEPS
  local type, tostring, tonumber, select, error, unpack = type, tostring, tonumber, select, error, unpack
  local raw_find, raw_match, raw_gmatch, raw_gsub = string.find, string.match, string.gmatch, string.gsub
  local byte, sub, lower, concat, min = string.byte, string.sub, string.lower, table.concat, math.min

  -- Estimating --------------------------------------------------------------------------------------------------------

  local known, known_count = {}, 0

  -- How often the number of steps is multiplied by the subject's length, and by two.
  local function shape(pattern)
    local found = known[pattern]
    if found then
      return found[1], found[2]
    end
    local rest = raw_gsub(pattern, '%%[^bf%d]', 'x')
    rest = raw_gsub(rest, '[%*%+%-]%)*$', '')
    local _, loops = raw_gsub(rest, '[%*%+%-]', '')
    local _, others = raw_gsub(rest, '%%', '')
    local _, options = raw_gsub(rest, '%?', '')
    loops = loops + others + (byte(pattern) == 94 and 0 or 1)
    if known_count >= MAX_KNOWN then
      known, known_count = {}, 0
    end
    known[pattern] = { loops, options }
    known_count = known_count + 1
    return loops, options
  end

  local function is_cheap(subject, pattern)
    local length, size = #subject, #pattern
    if size > MAX_PATTERN then
      return false
    end
    local loops, options = shape(pattern)
    local steps = (length + 1) ^ loops * 2 ^ options * size
    if steps > max_steps then
      return false
    end
    spend(steps)
    return true
  end

  -- Matching ----------------------------------------------------------------------------------------------------------

  local MAX_CAPTURES = 32
  local OPEN, POSITION = -1, -2

  local CLASSES = {
    [97] = '%a', [99] = '%c', [100] = '%d', [108] = '%l', [112] = '%p', [115] = '%s', [117] = '%u', [119] = '%w',
    [120] = '%x', [122] = '%z',
  }
  for letter, class in next, { [97] = 'A', [99] = 'C', [100] = 'D', [108] = 'L', [112] = 'P', [115] = 'S', [117] = 'U',
      [119] = 'W', [120] = 'X', [122] = 'Z' } do
    CLASSES[letter - 32] = '%' .. class
  end

  -- Which of the 256 bytes a letter after % stands for, found with Lua's own matcher once.
  local members = {}
  for letter, class in next, CLASSES do
    local set = {}
    for code = 0, 255 do
      set[code] = raw_find(string.char(code), class) ~= nil
    end
    members[letter] = set
  end

  local function in_class(code, letter)
    local set = members[letter]
    if set then
      return set[code]
    end
    return code == letter
  end

  -- First index after the single-character class at p.
  local function class_end(pattern, p)
    local c = byte(pattern, p)
    if c == 37 then
      if p >= #pattern then
        error("malformed pattern (ends with '%')", 0)
      end
      return p + 2
    end
    if c == 91 then
      local q = p + 1
      if byte(pattern, q) == 94 then
        q = q + 1
      end
      repeat
        local d = byte(pattern, q)
        if not d then
          error("malformed pattern (missing ']')", 0)
        end
        q = q + 1
        if d == 37 then
          q = q + 1
        end
      until byte(pattern, q) == 93
      return q + 1
    end
    return p + 1
  end

  -- `last` is the index of the closing bracket.
  local function in_set(code, pattern, p, last)
    local positive = true
    p = p + 1
    if byte(pattern, p) == 94 then
      positive = false
      p = p + 1
    end
    while p < last do
      local c = byte(pattern, p)
      if c == 37 then
        if in_class(code, byte(pattern, p + 1)) then
          return positive
        end
        p = p + 2
      elseif byte(pattern, p + 1) == 45 and p + 2 < last then
        if c <= code and code <= byte(pattern, p + 2) then
          return positive
        end
        p = p + 3
      else
        if c == code then
          return positive
        end
        p = p + 1
      end
    end
    return not positive
  end

  local function single_match(code, pattern, p, ep)
    local c = byte(pattern, p)
    if c == 46 then
      return true
    elseif c == 37 then
      return in_class(code, byte(pattern, p + 1))
    elseif c == 91 then
      return in_set(code, pattern, p, ep - 1)
    end
    return c == code
  end

  local function captured(m, number)
    local length = m.length[number]
    if not length then
      error('invalid capture index', 0)
    elseif length == OPEN then
      error('unfinished capture', 0)
    elseif length == POSITION then
      return m.start[number]
    end
    return sub(m.subject, m.start[number], m.start[number] + length - 1)
  end

  -- The index after the match of the pattern from p on at s, or nil.
  local function match(m, s, p)
    local subject, pattern = m.subject, m.pattern
    local size = #pattern
    while true do
      if p > size then
        return s
      end
      local c = byte(pattern, p)
      local special = true
      if c == 40 then
        local position = byte(pattern, p + 1) == 41
        local level = m.level + 1
        if level > MAX_CAPTURES then
          error('too many captures', 0)
        end
        m.level = level
        m.start[level] = s
        m.length[level] = position and POSITION or OPEN
        local found = match(m, s, p + (position and 2 or 1))
        if not found then
          m.level = level - 1
          m.length[level] = nil
        end
        return found
      elseif c == 41 then
        local level
        for candidate = m.level, 1, -1 do
          if m.length[candidate] == OPEN then
            level = candidate
            break
          end
        end
        if not level then
          error('invalid pattern capture', 0)
        end
        m.length[level] = s - m.start[level]
        local found = match(m, s, p + 1)
        if not found then
          m.length[level] = OPEN
        end
        return found
      elseif c == 36 and p == size then
        if s == #subject + 1 then
          return s
        end
        return nil
      elseif c == 37 then
        local d = byte(pattern, p + 1)
        if d == 98 then
          local open, close = byte(pattern, p + 2, p + 3)
          if not close then
            error('unbalanced pattern', 0)
          end
          if byte(subject, s) ~= open then
            return nil
          end
          local depth, at = 1, s + 1
          while true do
            local e = byte(subject, at)
            if not e then
              return nil
            end
            if e == close then
              depth = depth - 1
              if depth == 0 then
                break
              end
            elseif e == open then
              depth = depth + 1
            end
            at = at + 1
          end
          s, p = at + 1, p + 4
        elseif d == 102 then
          p = p + 2
          if byte(pattern, p) ~= 91 then
            error("missing '[' after '%f' in pattern", 0)
          end
          local ep = class_end(pattern, p)
          local before = s == 1 and 0 or byte(subject, s - 1)
          if in_set(before, pattern, p, ep - 1) or not in_set(byte(subject, s) or 0, pattern, p, ep - 1) then
            return nil
          end
          p = ep
        elseif d and d >= 48 and d <= 57 then
          local number = d - 48
          local length = m.length[number]
          if not length or length == OPEN then
            error('invalid capture index', 0)
          end
          if length == POSITION then
            return nil
          end
          local words = captured(m, number)
          if sub(subject, s, s + #words - 1) ~= words then
            return nil
          end
          s, p = s + #words, p + 2
        else
          special = false
        end
      else
        special = false
      end
      if not special then
        local ep = class_end(pattern, p)
        local code = byte(subject, s)
        local suffix = byte(pattern, ep)
        if suffix == 63 then
          if code and single_match(code, pattern, p, ep) then
            local found = match(m, s + 1, ep + 1)
            if found then
              return found
            end
          end
          p = ep + 1
        elseif suffix == 42 or suffix == 43 then
          local count = 0
          while code and single_match(code, pattern, p, ep) do
            count = count + 1
            code = byte(subject, s + count)
          end
          local least = suffix == 43 and 1 or 0
          while count >= least do
            local found = match(m, s + count, ep + 1)
            if found then
              return found
            end
            count = count - 1
          end
          return nil
        elseif suffix == 45 then
          while true do
            local found = match(m, s, ep + 1)
            if found then
              return found
            end
            code = byte(subject, s)
            if not code or not single_match(code, pattern, p, ep) then
              return nil
            end
            s = s + 1
          end
        else
          if not code or not single_match(code, pattern, p, ep) then
            return nil
          end
          s, p = s + 1, ep
        end
      end
    end
  end

  -- A pattern ends where a zero is, in Lua 5.1.
  local function until_zero(pattern)
    local zero = raw_find(pattern, '%z')
    return zero and sub(pattern, 1, zero - 1) or pattern
  end

  local function prepare(subject, pattern)
    pattern = until_zero(pattern)
    local anchored = byte(pattern) == 94
    if anchored then
      pattern = sub(pattern, 2)
    end
    return { subject = subject, pattern = pattern, start = {}, length = {}, level = 0 }, anchored
  end

  local function attempt(m, s)
    m.level = 0
    m.length = {}
    return match(m, s, 1)
  end

  -- The captures of a match; the whole match where the pattern has none.
  local function captures(m, s, e, whole)
    if m.level == 0 and whole then
      return { sub(m.subject, s, e - 1) }, 1
    end
    local found = {}
    for number = 1, m.level do
      found[number] = captured(m, number)
    end
    return found, m.level
  end

  local function search(subject, pattern, from, find)
    local m, anchored = prepare(subject, pattern)
    for s = from, anchored and from or #subject + 1 do
      local e = attempt(m, s)
      if e then
        local found, count = captures(m, s, e, not find)
        if find then
          return s, e - 1, unpack(found, 1, count)
        end
        return unpack(found, 1, count)
      end
    end
    return nil
  end

  -- Plain text: Lua's own search is a loop in C too.
  local function search_plain(subject, words, from)
    local size = #words
    local first = byte(words)
    for s = from, #subject - size + 1 do
      if byte(subject, s) == first and sub(subject, s, s + size - 1) == words then
        return s, s + size - 1
      end
    end
    return nil
  end

  local function iterate(subject, pattern)
    local m = prepare(subject, '')
    m.pattern = until_zero(pattern) -- no anchor in gmatch
    local s = 1
    return function()
      while s <= #subject + 1 do
        local e = attempt(m, s)
        if e then
          local found, count = captures(m, s, e, true)
          s = e == s and e + 1 or e
          return unpack(found, 1, count)
        end
        s = s + 1
      end
    end
  end

  local function expand(m, s, e, replacement)
    return (raw_gsub(replacement, '%%(.?)', function(letter)
      if letter == '0' then
        return sub(m.subject, s, e - 1)
      end
      local number = tonumber(letter)
      if not number then
        return letter
      end
      if number == 1 and m.level == 0 then
        return sub(m.subject, s, e - 1)
      end
      return tostring(captured(m, number))
    end))
  end

  local function substitute(subject, pattern, replacement, max)
    local m, anchored = prepare(subject, pattern)
    local out, count, s = {}, 0, 1
    local kind = type(replacement)
    while count < max do
      local e = attempt(m, s)
      if e then
        count = count + 1
        local value
        if kind == 'string' then
          value = expand(m, s, e, replacement)
        else
          local found, number = captures(m, s, e, true)
          if kind == 'table' then
            value = replacement[found[1]]
          else
            value = replacement(unpack(found, 1, number))
          end
          if not value then
            value = sub(subject, s, e - 1)
          elseif type(value) ~= 'string' and type(value) ~= 'number' then
            error('invalid replacement value (a ' .. type(value) .. ')', 0)
          end
        end
        out[#out + 1] = value
      end
      if e and e > s then
        s = e
      elseif s <= #subject then
        out[#out + 1] = sub(subject, s, s)
        s = s + 1
      else
        break
      end
      if anchored then
        break
      end
    end
    out[#out + 1] = sub(subject, s)
    return concat(out), count
  end

  -- What scripts call ---------------------------------------------------------------------------------------------------

  local function is_text(value)
    local kind = type(value)
    return kind == 'string' or kind == 'number'
  end

  local function check(name, count, subject, pattern)
    if not is_text(subject) then
      bad_argument(1, name, 'string expected, got ' .. type_name(count, 1, subject), 1)
    end
    if not is_text(pattern) then
      bad_argument(2, name, 'string expected, got ' .. type_name(count, 2, pattern), 1)
    end
  end

  local function start(subject, from)
    from = from or 1
    if from < 0 then
      from = #subject + from + 1
    end
    if from < 1 then
      return 1
    end
    return min(from, #subject + 1)
  end

  function text.find(...)
    local subject, pattern, from, plain = ...
    check('find', select('#', ...), subject, pattern)
    if from ~= nil and not tonumber(from) then
      bad_argument(3, 'find', 'number expected, got ' .. type(from))
    end
    subject, pattern = tostring(subject), tostring(pattern)
    if plain or not raw_find(until_zero(pattern), '[%^%$%*%+%?%.%(%[%%%-]') then
      if #subject * #pattern > 100 * max_steps then
        return search_plain(subject, pattern, start(subject, tonumber(from)))
      end
      spend(#subject)
    elseif not is_cheap(subject, pattern) then
      return search(subject, pattern, start(subject, tonumber(from)), true)
    end
    return raw_find(subject, pattern, from, plain)
  end

  function text.match(...)
    local subject, pattern, from = ...
    check('match', select('#', ...), subject, pattern)
    if from ~= nil and not tonumber(from) then
      bad_argument(3, 'match', 'number expected, got ' .. type(from))
    end
    subject, pattern = tostring(subject), tostring(pattern)
    if not is_cheap(subject, pattern) then
      return search(subject, pattern, start(subject, tonumber(from)), false)
    end
    return raw_match(subject, pattern, from)
  end

  function text.gmatch(...)
    local subject, pattern = ...
    check('gmatch', select('#', ...), subject, pattern)
    subject, pattern = tostring(subject), tostring(pattern)
    if not is_cheap(subject, pattern) then
      return iterate(subject, pattern)
    end
    return raw_gmatch(subject, pattern)
  end

  function text.gsub(...)
    local subject, pattern, replacement, max = ...
    check('gsub', select('#', ...), subject, pattern)
    local kind = type(replacement)
    if kind == 'number' then
      replacement, kind = tostring(replacement), 'string'
    end
    if kind ~= 'string' and kind ~= 'table' and kind ~= 'function' then
      bad_argument(3, 'gsub', 'string/function/table expected')
    end
    if max ~= nil and not tonumber(max) then
      bad_argument(4, 'gsub', 'number expected, got ' .. type(max))
    end
    subject, pattern = tostring(subject), tostring(pattern)
    if not is_cheap(subject, pattern) then
      return substitute(subject, pattern, replacement, tonumber(max) or #subject + 1)
    end
    return raw_gsub(subject, pattern, replacement, max)
  end

  text.gfind = text.gmatch
end
