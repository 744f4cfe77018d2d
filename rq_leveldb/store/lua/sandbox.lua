-- The trusted part of the Lua sandbox. It is run once in each new runtime, makes the environment of the scripts, and
-- then empties Lua's own globals. Nothing here reads a global after that, so no script can change what it does.
--
-- Arguments: the functions of scripting.py (none of them ever raises), the modules beside this file, and settings.
local py_call, py_more, py_emit, py_lift, py_sha1hex, py_log, py_may, py_look, load_patterns, load_tables, load_cjson,
  load_bit, settings = ...

local as_function = python.as_function
py_call, py_more, py_emit, py_lift = as_function(py_call), as_function(py_more), as_function(py_emit), as_function(py_lift)
py_sha1hex, py_log, py_may, py_look = as_function(py_sha1hex), as_function(py_log), as_function(py_may), as_function(py_look)

local TRUSTED = '=sandbox'
local LIMIT = {} -- raised where a script has to end at once; no script ever gets hold of it

local raw = {}
for name, value in pairs(_G) do
  raw[name] = value
end
local type, tostring, tonumber, select, next, error = type, tostring, tonumber, select, next, error
local raw_pcall, raw_xpcall, raw_setmetatable, raw_getmetatable = pcall, xpcall, setmetatable, getmetatable
local raw_unpack, raw_rawget, raw_rawset, raw_rawequal = unpack, rawget, rawset, rawequal
local loadstring, setfenv, collectgarbage, gcinfo = loadstring, setfenv, collectgarbage, gcinfo
local getinfo, sethook, clock, time = debug.getinfo, debug.sethook, os.clock, os.time
local byte, sub, rep, dump, format = string.byte, string.sub, string.rep, string.dump, string.format
local find, gsub = string.find, string.gsub
local concat = table.concat
local floor, fmod = math.floor, math.fmod
local huge = math.huge

-- Limits ------------------------------------------------------------------------------------------------------------

local running = false
local ended = false -- why the running script has to end; false while it may go on
local ended_source, ended_line -- where it was when that was found
local soft_limit = huge -- KiB; above it nothing may be handed to Python, which could not report that memory is out

-- The place in the script that is executed; nil where there is none. What is ours and what is C has no place.
local function place(level)
  while true do
    local info = getinfo(level, 'Sl')
    if not info then
      return nil
    end
    if info.what ~= 'C' and info.what ~= 'tail' and info.source ~= TRUSTED then
      return info
    end
    level = level + 1
  end
end

local function stop(reason)
  if not ended then
    ended = reason
    local info = place(3)
    if info then
      ended_source, ended_line = info.source, info.currentline
    end
  end
  error(LIMIT, 0)
end

local function check_memory()
  if gcinfo() > soft_limit then
    collectgarbage()
    if gcinfo() > soft_limit then
      stop('memory')
    end
  end
end

-- Python says whether the script may go on, and serves others meanwhile. It is asked every few milliseconds. A count
-- hook sees to that, although it sees neither how long an instruction takes nor what happens inside of functions in C:
-- each of those that scripts may call takes a bounded time, the hook comes the more often the longer the instructions
-- took, and often from the beginning where there is enough memory in use for them to be slow.
local LOOK = 0.005 -- seconds of process time
local USUAL, OFTEN, LARGE = 1000, 300, 8192 -- instructions, and KiB above which the second number is the highest
local SLOW, WANTED = 0.004, 0.002 -- seconds between two calls of the hook that are too many, and that are aimed at
local EFFORT = 4000000 -- bytes or elements that functions in C went through, after which the clock is looked at

local step = USUAL
local hooked, looked -- process time at the hook's last call, and at the last look; reading it costs a system call
local second -- by the clock on the wall, which goes on where this process does not
local effort = 0
local on_count

local function set_step(wanted)
  if wanted ~= step then
    step = wanted
    sethook(on_count, '', step)
  end
end

function on_count()
  if not running or ended then
    return
  end
  effort = 0
  local now = clock()
  if not hooked then
    hooked, looked, second = now, now, time()
    set_step(gcinfo() > LARGE and OFTEN or USUAL)
    return
  end
  local took = now - hooked
  hooked = now
  local highest = gcinfo() > LARGE and OFTEN or USUAL
  if took > SLOW then
    local wanted = floor(step * WANTED / took)
    set_step(wanted > 1 and wanted or 1)
  elseif step ~= highest then
    set_step(step * 2 < highest and step * 2 or highest)
  end
  if now - looked > LOOK or time() ~= second then
    second = time()
    check_memory()
    if py_look() then
      stop('time')
    end
    looked = clock()
  end
end

local function spend(work)
  effort = effort + work
  if effort >= EFFORT then
    on_count()
  end
end

-- Tables that scripts may read and not change -------------------------------------------------------------------------

local READONLY = 'Attempt to modify a readonly table'
local protected = {}

local function refuse_new_index()
  error(READONLY, 2)
end

local function protect(contents)
  local proxy = raw_setmetatable({}, { __index = contents, __newindex = refuse_new_index, __metatable = {} })
  protected[proxy] = contents
  return proxy
end

local base = {} -- the global names
local env = protect(base)
local global_metatable = protect({})
raw_setmetatable(base, {
  __index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
  end,
})

-- As a function in C says it, which is named as it was called. `depth` is how many functions are between the one that
-- the script called and this one.
local function bad_argument(number, name, text, depth)
  local level = 2 + (depth or 0)
  local info = getinfo(level, 'n')
  name = info.namewhat == '' and '?' or info.name or name
  if info.namewhat == 'method' then
    number = number - 1
    if number == 0 then
      error("calling '" .. name .. "' on bad self (" .. text .. ')', level + 1)
    end
  end
  error("bad argument #" .. number .. " to '" .. name .. "' (" .. text .. ')', level + 1)
end

local function type_name(count, number, value)
  return number > count and 'no value' or type(value)
end

-- The base library ----------------------------------------------------------------------------------------------------

local function after_pcall(ok, ...)
  if ended then
    error(LIMIT, 0)
  end
  if not ok then
    local err = ...
    if err == 'not enough memory' then
      stop('memory')
    end
    if type(err) == 'table' then
      local words = raw_rawget(err, 'err')
      if words ~= nil then
        return false, words
      end
    elseif type(err) == 'string' and byte(err) == 115 and find(err, '^sandbox:%d') then
      return false, (gsub(err, '^sandbox:%d+: ', ''))
    end
  end
  return ok, ...
end

for _, name in next, { '_VERSION', 'assert', 'error', 'gcinfo', 'ipairs', 'rawequal', 'select', 'tostring', 'type' } do
  base[name] = raw[name]
end
base._G = env

function base.pcall(...)
  if select('#', ...) == 0 then
    bad_argument(1, 'pcall', 'value expected')
  end
  return after_pcall(raw_pcall(...))
end

function base.xpcall(f, handler)
  local function guarded(err)
    if ended or err == LIMIT then
      return LIMIT
    end
    return handler(err)
  end
  local function results(ok, err, ...)
    if ended then
      error(LIMIT, 0)
    end
    if not ok and err == 'not enough memory' then
      stop('memory')
    end
    return ok, err, ...
  end
  return results(raw_xpcall(f, guarded))
end

function base.tonumber(...)
  local value, digits = ...
  if select('#', ...) == 0 then
    bad_argument(1, 'tonumber', 'value expected')
  end
  if type(value) == 'string' then
    spend(20 * #value)
  end
  if digits == nil then
    return tonumber(value)
  end
  local number = tonumber(digits)
  if not number then
    bad_argument(2, 'tonumber', 'number expected, got ' .. type(digits))
  end
  if number == 10 then
    return tonumber(value)
  end
  if type(value) ~= 'string' and type(value) ~= 'number' then
    bad_argument(1, 'tonumber', 'string expected, got ' .. type(value))
  end
  if not (number >= 2 and number < 37) then
    bad_argument(2, 'tonumber', 'base out of range')
  end
  return tonumber(value, number)
end

function base.next(t, key)
  if type(t) ~= 'table' then
    bad_argument(1, 'next', 'table expected, got ' .. type(t))
  end
  return next(protected[t] or t, key)
end

local function next_protected(t, key)
  return next(protected[t], key)
end

function base.pairs(t)
  if type(t) ~= 'table' then
    bad_argument(1, 'pairs', 'table expected, got ' .. type(t))
  end
  return protected[t] and next_protected or next, t, nil
end

function base.rawget(t, key)
  if type(t) ~= 'table' then
    bad_argument(1, 'rawget', 'table expected, got ' .. type(t))
  end
  return raw_rawget(protected[t] or t, key)
end

function base.rawset(t, key, value)
  if type(t) ~= 'table' then
    bad_argument(1, 'rawset', 'table expected, got ' .. type(t))
  end
  if protected[t] then
    error(READONLY, 0)
  end
  return raw_rawset(t, key, value)
end

function base.setmetatable(t, metatable)
  if type(t) ~= 'table' then
    bad_argument(1, 'setmetatable', 'table expected, got ' .. type(t))
  end
  if metatable ~= nil and type(metatable) ~= 'table' then
    bad_argument(2, 'setmetatable', 'nil or table expected')
  end
  if protected[t] then
    error(READONLY, 0)
  end
  return raw_setmetatable(t, metatable)
end

function base.getmetatable(...)
  if select('#', ...) == 0 then
    bad_argument(1, 'getmetatable', 'value expected')
  end
  local value = (...)
  if value ~= nil and protected[value] then
    -- What a script writes there would be there for the next one.
    return value == env and global_metatable or nil
  end
  return (raw_getmetatable(value))
end

-- Lua 5.1 adds up the size of the result before it checks it, and the sum can overflow.
local MAX_RESULTS = 7900

function base.unpack(t, first, last)
  if type(t) ~= 'table' then
    bad_argument(1, 'unpack', 'table expected, got ' .. type(t))
  end
  first = first == nil and 1 or tonumber(first)
  last = last == nil and #t or tonumber(last)
  if not first then
    bad_argument(2, 'unpack', 'number expected')
  end
  if not last then
    bad_argument(3, 'unpack', 'number expected')
  end
  if first > last then
    return
  end
  if not (last - first < MAX_RESULTS and first > -2147483648 and last < 2147483647) then
    error('too many results to unpack', 2)
  end
  return raw_unpack(t, first, last)
end

-- Lua's compiler walks through all earlier jumps of a condition or a loop for each new one of it.
local LONG, MAX_JUMPS = 50000, 20000

local function check_source(source)
  if #source < LONG then
    return nil
  end
  local jumps = 0
  for _, word in next, { 'and', 'or', 'break', 'elseif' } do
    local first, last = find(source, word, 1, true)
    while first do
      if not find(source, '^[%w_]', last + 1) and not (first > 1 and find(source, '^[%w_]', first - 1)) then
        jumps = jumps + 1
        if jumps > MAX_JUMPS then
          return 'the script has more than ' .. MAX_JUMPS .. ' words of and, or, break and elseif'
        end
      end
      first, last = find(source, word, last + 1, true)
    end
  end
end

function base.loadstring(source, name)
  if type(source) ~= 'string' and type(source) ~= 'number' then
    bad_argument(1, 'loadstring', 'string expected, got ' .. type(source))
  end
  source = tostring(source)
  if byte(source) == 27 then
    return nil, 'bytecode is not accepted'
  end
  local refusal = check_source(source)
  if refusal then
    return nil, refusal
  end
  spend(10 * #source)
  local f, message = loadstring(source, name == nil and source or tostring(name))
  if f then
    setfenv(f, env)
  end
  return f, message
end

function base.load(reader, name)
  if type(reader) ~= 'function' then
    bad_argument(1, 'load', 'function expected, got ' .. type(reader))
  end
  local pieces = {}
  while true do
    local piece = reader()
    if piece == nil or piece == '' then
      break
    end
    if type(piece) ~= 'string' then
      error('reader function must return a string', 2)
    end
    pieces[#pieces + 1] = piece
  end
  return base.loadstring(concat(pieces), name == nil and '=(load)' or name)
end

-- A script must not stop the collector for those after it.
function base.collectgarbage(what)
  if what == nil or what == 'collect' or what == 'step' or what == 'count' then
    spend(what == 'count' and 1 or EFFORT)
    return collectgarbage(what)
  end
  return 0
end

-- string --------------------------------------------------------------------------------------------------------------

local text = {}
for _, name in next, { 'byte', 'char', 'format', 'len', 'lower', 'reverse', 'sub', 'upper' } do
  text[name] = string[name]
end
load_patterns(string, text, bad_argument, type_name, spend)

function text.rep(...)
  local s, n = ...
  local count = select('#', ...)
  if type(s) ~= 'string' and type(s) ~= 'number' then
    bad_argument(1, 'rep', 'string expected, got ' .. type_name(count, 1, s))
  end
  local times = tonumber(n)
  if not times then
    bad_argument(2, 'rep', 'number expected, got ' .. type_name(count, 2, n))
  end
  s = tostring(s)
  -- Lua would count to `times` even where there is nothing to repeat.
  if s == '' or times < 1 then
    return ''
  end
  if #s * times > settings.memory then
    stop('memory')
  end
  spend(#s * times)
  return rep(s, times)
end

base.string = protect(text)
local string_metatable = raw_getmetatable('')
string_metatable.__index = text
string_metatable.__metatable = protect({ __index = base.string })

-- table ---------------------------------------------------------------------------------------------------------------

local tables = {}
for _, name in next, { 'concat', 'foreach', 'foreachi', 'getn', 'insert', 'maxn', 'remove', 'setn', 'sort' } do
  tables[name] = table[name]
end
load_tables(tables, bad_argument, type_name, function(t)
  if protected[t] then
    error(READONLY, 0)
  end
end, spend)
base.table = protect(tables)

-- math, with the random numbers of Redis -----------------------------------------------------------------------------

local numbers = {}
for name, value in next, math do
  numbers[name] = value
end

local TWO_24 = 16777216
local seed_high, seed_low = 0x1234AB, 0xCD330E -- of 48 bits

local function next_random()
  -- seed * 0x5DEECE66D + 11, modulo 2^48; each product stays below 2^53, so that it is exact
  local low = seed_low * 0xECE66D
  local middle = seed_low * 0x5DE + seed_high * 0xECE66D
  low = low + 11
  local carry = floor(low / TWO_24)
  seed_low = low - carry * TWO_24
  seed_high = fmod(fmod(middle, TWO_24) + carry, TWO_24)
  return floor((seed_high * TWO_24 + seed_low) / 131072)
end

function numbers.random(...)
  local count = select('#', ...)
  local r = fmod(next_random(), 2147483647) / 2147483647
  if count == 0 then
    return r
  end
  local first, last = tonumber((...)), nil
  if not first then
    bad_argument(1, 'random', 'number expected, got ' .. type((...)))
  end
  if count == 1 then
    first, last = 1, first
    if last < 1 then
      bad_argument(1, 'random', 'interval is empty')
    end
  elseif count == 2 then
    last = tonumber((select(2, ...)))
    if not last then
      bad_argument(2, 'random', 'number expected, got ' .. type((select(2, ...))))
    end
    if first > last then
      bad_argument(2, 'random', 'interval is empty')
    end
  else
    error('wrong number of arguments', 2)
  end
  return floor(r * (last - first + 1)) + first
end

local function seed_random(number)
  number = number % 4294967296
  local shifted = number * 65536 + 0x330E
  seed_high = floor(shifted / TWO_24)
  seed_low = shifted - seed_high * TWO_24
end

function numbers.randomseed(number)
  local seed = tonumber(number)
  if not seed then
    bad_argument(1, 'randomseed', 'number expected, got ' .. type(number))
  end
  seed_random(seed - seed == 0 and floor(seed) or 0)
end

base.math = protect(numbers)
base.os = protect({ clock = clock })

-- redis ---------------------------------------------------------------------------------------------------------------

local redis = {}
local SINGLE, STATUS, LIST, ERROR, ABORT = nil, 1, 2, 3, 4

local function library_error(words)
  error({ err = 'ERR ' .. words }, 0)
end

local function raising(value, kind, ...)
  if kind == SINGLE then
    return value
  elseif kind == STATUS then
    return { ok = value }
  elseif kind == LIST then
    return { ... }
  elseif kind == ERROR then
    error({ err = value, ignore_error_stats_update = true }, 0)
  end
  stop(value)
end

local function returning(value, kind, ...)
  if kind == SINGLE then
    return value
  elseif kind == STATUS then
    return { ok = value }
  elseif kind == LIST then
    return { ... }
  elseif kind == ERROR then
    return { err = value, ignore_error_stats_update = true }
  end
  stop(value)
end

local PIECE = 100

local function check_arguments(...)
  local arguments = { ... }
  local size = 0
  for index = 1, select('#', ...) do
    local argument = arguments[index]
    local kind = type(argument)
    if kind == 'string' then
      size = size + #argument
    elseif kind ~= 'number' then
      return nil
    end
  end
  if size > settings.reply_bytes then
    stop('size')
  end
  return arguments
end

local NO_ARGUMENT = 'ERR Please specify at least one argument for this redis lib call'
local BAD_ARGUMENT = 'ERR Lua redis lib command arguments must be strings or integers'

local function make_call(finish)
  return function(...)
    check_memory()
    local count = select('#', ...)
    if count == 0 then
      return finish(NO_ARGUMENT, ERROR)
    end
    -- The usual commands have few arguments; no table is made for those.
    local a, b, c, d = ...
    local t = type(a)
    if t == 'string' or t == 'number' then
      if count == 1 then
        return finish(py_call(a))
      end
      t = type(b)
      if t == 'string' or t == 'number' then
        if count == 2 then
          return finish(py_call(a, b))
        end
        t = type(c)
        if t == 'string' or t == 'number' then
          if count == 3 then
            return finish(py_call(a, b, c))
          end
          t = type(d)
          if count == 4 and (t == 'string' or t == 'number') then
            return finish(py_call(a, b, c, d))
          end
        end
      end
    end
    local arguments = check_arguments(...)
    if not arguments then
      return finish(BAD_ARGUMENT, ERROR)
    end
    if count <= PIECE then
      return finish(py_call(...))
    end
    local first = 1
    while count - first >= PIECE do
      py_more(raw_unpack(arguments, first, first + PIECE - 1))
      first = first + PIECE
    end
    return finish(py_call(raw_unpack(arguments, first, count)))
  end
end

redis.call = make_call(raising)
redis.pcall = make_call(returning)

function redis.error_reply(...)
  local words = ...
  if select('#', ...) ~= 1 or type(words) ~= 'string' then
    return { err = 'ERR wrong number or type of arguments' }
  end
  if byte(words) == 45 then
    words = sub(words, 2)
  end
  if not text.find(words, ' ', 1, true) then
    words = 'ERR ' .. words
  end
  return { err = words }
end

function redis.status_reply(...)
  local words = ...
  if select('#', ...) ~= 1 or type(words) ~= 'string' then
    return { err = 'ERR wrong number or type of arguments' }
  end
  return { ok = words }
end

function redis.sha1hex(...)
  local value = ...
  if select('#', ...) ~= 1 then
    library_error('wrong number of arguments')
  end
  check_memory()
  if type(value) ~= 'string' then
    value = type(value) == 'number' and tostring(value) or ''
  end
  spend(2 * #value)
  return (py_sha1hex(value))
end

function redis.log(level, ...)
  local count = select('#', ...)
  if count == 0 then
    library_error('redis.log() requires two arguments or more.')
  end
  level = tonumber(level)
  if not level then
    library_error('First argument must be a number (log level).')
  end
  if not (level >= 0 and level <= 3) then
    library_error('Invalid log level.')
  end
  check_memory()
  local words = { ... }
  local shown = {}
  for index = 1, count do
    local word = words[index]
    if type(word) == 'string' or type(word) == 'number' then
      shown[#shown + 1] = tostring(word)
    end
  end
  py_log(floor(level), sub(concat(shown, ' '), 1, 1024))
end

local resp = 2

function redis.setresp(...)
  local version = tonumber((...))
  if select('#', ...) ~= 1 then
    library_error('redis.setresp() requires one argument.')
  end
  if version ~= 2 and version ~= 3 then
    library_error('RESP version must be 2 or 3.')
  end
  resp = version
  py_may('resp', version)
end

function redis.set_repl(...)
  if select('#', ...) ~= 1 then
    library_error('redis.set_repl() requires one argument.')
  end
  local flags = tonumber((...))
  if not flags or flags < 0 or flags > 3 then
    library_error('Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.')
  end
end

function redis.acl_check_cmd(...)
  local name = ...
  if select('#', ...) == 0 then
    library_error('Please specify at least one argument for this redis lib call')
  end
  if not check_arguments(...) then
    library_error('redis.acl_check_cmd() require all arguments to be strings or integers')
  end
  check_memory()
  if not py_may('command', tostring(name)) then
    library_error('Invalid command passed to redis.acl_check_cmd()')
  end
  return true
end

function redis.replicate_commands()
  return true
end

function redis.breakpoint()
  return false
end

function redis.debug() end

redis.LOG_DEBUG, redis.LOG_VERBOSE, redis.LOG_NOTICE, redis.LOG_WARNING = 0, 1, 2, 3
redis.REPL_NONE, redis.REPL_AOF, redis.REPL_SLAVE, redis.REPL_REPLICA, redis.REPL_ALL = 0, 1, 2, 2, 3
redis.REDIS_VERSION, redis.REDIS_VERSION_NUM = settings.version, settings.version_number
base.redis = protect(redis)
local cjson, reset_cjson = load_cjson(string, bad_argument, next, spend)
base.cjson = protect(cjson)
base.bit = protect(load_bit(type_name))

-- From a Lua value to a reply -----------------------------------------------------------------------------------------

-- A reply leaves as a row of tokens: a tag, then what belongs to it. scripting.py reads it.
local T_VALUE, T_LIST, T_STATUS, T_ERROR, T_DOUBLE, T_MAP, T_SET, T_BIG, T_VERBATIM, T_NULL, T_TRUE, T_FALSE, T_RUN =
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13
local MAX_DEPTH = 200

local tokens, filled, reply_bytes

local TOKEN = 64 -- bytes, about, that Python and the reply need for one besides its text
local MAX_REPLY = settings.reply_bytes

local function hand_over_if_full()
  if filled >= PIECE then
    check_memory()
    py_emit(raw_unpack(tokens, 1, filled))
    filled = 0
  end
end

local function add_to_reply(count, size)
  reply_bytes = reply_bytes + TOKEN * count + size
  if reply_bytes > MAX_REPLY then
    stop('size')
  end
end

local function emit(tag, value)
  add_to_reply(2, type(value) == 'string' and #value or 0)
  tokens[filled + 1], tokens[filled + 2] = tag, value
  filled = filled + 2
  hand_over_if_full()
end

local function emit_tag(tag)
  add_to_reply(1, 0)
  filled = filled + 1
  tokens[filled] = tag
  hand_over_if_full()
end

-- How many elements a plain list has, and the length of its strings; nil if the value is anything else, or long.
local function plain_length(t)
  if raw_getmetatable(t) ~= nil or t.err ~= nil or t.ok ~= nil or t.double ~= nil or t.map ~= nil or t.set ~= nil
    or t.big_number ~= nil or t.verbatim_string ~= nil then
    return nil
  end
  local size = 0
  for index = 1, PIECE do
    local value = t[index]
    local kind = type(value)
    if kind == 'string' then
      size = size + #value
    elseif kind == 'nil' then
      return index - 1, size
    elseif kind ~= 'number' then
      return nil
    end
  end
  return nil
end

local emit_value

local function emit_table(t, depth)
  if depth > MAX_DEPTH then
    return emit(T_ERROR, 'ERR reached lua stack limit')
  end
  local length, size = plain_length(t)
  if length then
    emit(T_RUN, length)
    add_to_reply(2 * length, size)
    for index = 1, length do
      tokens[filled + index] = t[index]
    end
    filled = filled + length
    return hand_over_if_full()
  end
  local field = raw_rawget(t, 'err')
  if type(field) == 'string' then
    return emit(T_ERROR, field)
  end
  field = raw_rawget(t, 'ok')
  if type(field) == 'string' then
    return emit(T_STATUS, field)
  end
  field = raw_rawget(t, 'double')
  if type(field) == 'number' then
    return emit(T_DOUBLE, field)
  end
  field = raw_rawget(t, 'map')
  if type(field) == 'table' then
    field = protected[field] or field
    local count = 0
    for _ in next, field do
      count = count + 1
    end
    emit(T_MAP, count)
    for key, value in next, field do
      emit_value(key, depth + 1)
      emit_value(value, depth + 1)
    end
    return
  end
  field = raw_rawget(t, 'set')
  if type(field) == 'table' then
    field = protected[field] or field
    local count = 0
    for _ in next, field do
      count = count + 1
    end
    emit(T_SET, count)
    for key in next, field do
      emit_value(key, depth + 1)
    end
    return
  end
  field = raw_rawget(t, 'big_number')
  if type(field) == 'string' then
    return emit(T_BIG, field)
  end
  field = raw_rawget(t, 'verbatim_string')
  if type(field) == 'table' then
    local words = raw_rawget(field, 'string')
    if type(raw_rawget(field, 'format')) == 'string' and type(words) == 'string' then
      return emit(T_VERBATIM, words)
    end
  end
  local count = 0
  while raw_rawget(t, count + 1) ~= nil do
    count = count + 1
  end
  emit(T_LIST, count)
  for index = 1, count do
    emit_value(raw_rawget(t, index), depth + 1)
  end
end

function emit_value(value, depth)
  local kind = type(value)
  if kind == 'string' or kind == 'number' then
    return emit(T_VALUE, value)
  elseif kind == 'table' then
    return emit_table(value, depth)
  elseif value == true then
    return emit_tag(T_TRUE)
  elseif value == false then
    return emit_tag(T_FALSE)
  end
  emit_tag(T_NULL)
end

local function emit_result(value)
  tokens, filled, reply_bytes = {}, 0, 0
  emit_value(value, 0)
  check_memory()
  return filled
end

-- Running a script ----------------------------------------------------------------------------------------------------

-- Called where an error is raised, with the stack still there.
local function describe(err)
  if ended or err == LIMIT then
    return LIMIT
  end
  local description
  if type(err) == 'table' then
    local words = raw_rawget(err, 'err')
    if type(words) == 'number' then
      words = tostring(words)
    end
    description = { err = type(words) == 'string' and words or 'ERR unknown error' }
  elseif type(err) == 'string' or type(err) == 'number' then
    description = { err = 'ERR ' .. err }
  else
    description = { err = 'ERR ' .. tostring(err) }
  end
  local info = place(3)
  if info then
    description.source = info.source
    description.line = info.currentline
    if type(err) == 'string' and find(err, '^sandbox:%d') then
      -- Raised by a function of Lua's that was called from here, in the place of one that the script called.
      description.err = 'ERR ' .. info.short_src .. ':' .. info.currentline .. gsub(err, '^sandbox:%d+', '')
    end
  end
  return description
end

-- What a run ends in, beside the tags above: the value itself is the second result.
local R_VALUE, R_TOKENS, R_ERROR, R_LIMIT, R_LIST = 0, 1, 2, 3, 4

local function run(script, arguments, highest, keys_count, ...)
  local keys, argv = {}, nil
  if arguments then
    argv = {}
    for index = 1, keys_count do
      keys[index] = arguments[index]
    end
    local count = #arguments
    for index = keys_count + 1, count do
      argv[index - keys_count] = arguments[index]
    end
  elseif keys_count == 0 then
    argv = { ... }
  elseif keys_count == 1 then
    keys[1] = (...)
    argv = { select(2, ...) }
  else
    local all = { ... }
    for index = 1, keys_count do
      keys[index] = all[index]
    end
    argv = { select(keys_count + 1, ...) }
  end
  base.KEYS, base.ARGV = keys, argv
  reset_cjson()
  resp = 2
  ended, ended_source, ended_line = false, nil, nil
  soft_limit = highest
  if step ~= USUAL or gcinfo() > LARGE then
    set_step(gcinfo() > LARGE and OFTEN or USUAL)
  end
  running, hooked, effort = true, nil, 0
  local ok, result = raw_xpcall(script, describe)
  local count, length
  if ok and not ended and type(result) == 'table' then
    local size
    length, size = plain_length(result)
    if not length or size > MAX_REPLY then
      length = nil
      ok, count = raw_pcall(emit_result, result)
      if not ok then
        result = count
      end
    end
  end
  running = false
  soft_limit = huge
  -- Whatever follows must not fail for want of memory.
  py_lift()
  base.KEYS, base.ARGV = nil, nil
  if ended then
    tokens = nil
    return R_LIMIT, ended, ended_source, ended_line
  end
  if ok then
    if length then
      return R_LIST, length, raw_unpack(result, 1, length)
    end
    if count then
      return R_TOKENS, count, raw_unpack(tokens, 1, count)
    end
    local kind = type(result)
    if kind == 'string' or kind == 'number' or kind == 'boolean' then
      return R_VALUE, result
    end
    return R_VALUE, nil
  end
  if result == 'not enough memory' then
    tokens = nil
    return R_LIMIT, 'memory'
  end
  if type(result) == 'table' then
    return R_ERROR, result.err, result.source, result.line
  end
  return R_ERROR, 'ERR ' .. tostring(result)
end

-- Returns bytecode, which scripting.py corrects and gives to `adopt`.
local function compile(source)
  local refusal = check_source(source)
  if refusal then
    return nil, refusal
  end
  local f, message = loadstring(source, '@user_script')
  if not f then
    return nil, message
  end
  return dump(f)
end

local function adopt(bytecode)
  local f = loadstring(bytecode)
  setfenv(f, env)
  return f
end

-- Lua's own globals: nothing must be left of them. lupa looks for `debug` at each call; that name has to stay, so that
-- looking for it allocates nothing.
local globals = _G
for name in next, raw do
  globals[name] = nil
end
globals.debug = false

sethook(on_count, '', step)

return compile, adopt, run
