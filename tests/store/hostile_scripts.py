"""Scripts that try to hang, crash or fill the process, or to change something for other scripts. Run as a program."""

# ruff: noqa: E501

from __future__ import annotations

import faulthandler
import resource

from rq_leveldb.store.replies import OK, Reply, ReplyError
from rq_leveldb.store.script_time import ScriptAborted
from rq_leveldb.store.scripting import Limits, Sandbox

HOSTILE = [
    'while true do end',
    'while true do pcall(function() while true do end end) end',
    'while true do pcall(error) end',
    'local function f() return f() end return f()',
    'local function f() return 1 + f() end return f()',
    'local function f() return pcall(f) end return f()',
    'local function f() local a,b = pcall(f) return a end return f()',
    'local function f() return xpcall(f, f) end return f()',
    'return xpcall(function() while true do end end, function(e) while true do end end)',
    "return xpcall(function() error('x') end, function(e) error(e) end)",
    'xpcall(error, function() while true do end end)',
    'return {unpack({1,2,3}, 0, 2147483647)}',
    'return {pcall(unpack, {1,2,3}, 0, 2147483647)}',
    'return {pcall(unpack, {1,2,3}, -2147483648, 2147483647)}',
    'return {pcall(unpack, {1,2,3}, 1, 1e308)}',
    'return {pcall(unpack, {1,2,3}, 0/0, 0/0)}',
    'return {pcall(unpack, {}, 2147483640, 2147483647)}',
    'return {unpack({}, 1, 7899)}',
    "local t = {} while true do t[#t+1] = ('x'):rep(1000) .. #t end",
    "local t = {} while true do pcall(function() t[#t+1] = ('x'):rep(100000) .. #t end) end",
    "local s = 'x' while true do s = s .. s end",
    "local s = 'x' while true do pcall(function() s = s .. s end) end",
    "return ('x'):rep(1e9)",
    "return ('x'):rep(1e308)",
    "return #(''):rep(1e18)",
    "return ('x'):rep(0/0)",
    "return string.find(('a'):rep(5000), ('a?'):rep(5000) .. ('a'):rep(5000))",
    "return string.find(('a'):rep(300000), ('.-'):rep(300) .. 'b')",
    "return string.find(('a'):rep(100000), '.-b')",
    "return string.match(('a'):rep(60), ('a*'):rep(60) .. 'b')",
    "return string.gsub(('a'):rep(1000000), '(.-)b', '%1')",
    "for w in string.gmatch(('a'):rep(100000), '.-.-b') do end",
    "return string.find(('a'):rep(1000000), ('('):rep(100000))",
    "return string.find('a', ('%('):rep(1000000))",
    "return string.find(('('):rep(1000000), '%b()')",
    "return string.find(('a'):rep(2000000), ('a'):rep(1000000)..'b', 1, true)",
    "return string.rep(('a'):rep(30000000), 2)",
    "return string.gsub(('a'):rep(100000), '', ('b'):rep(10000))",
    "return string.gsub('abc', '%w', '%9')",
    "return string.gsub('abc', '(', 'x')",
    "return string.find('a', '[')",
    "return string.find('a','%')",
    "return string.format(('%d'):rep(1000), 1)",
    "return string.format('%99999999999d', 1)",
    "return string.format('%.99f', 1e308)",
    "return string.format('%s')",
    'local t = {} for i = 0, 30 do t[2^i] = 1 end t[1]=1 t[2]=1 table.insert(t, 1, 1) return #t',
    'table.insert({}, -2147483648, 1)',
    'table.remove({1,2,3}, -2147483648)',
    'local t={} for i=0,30 do t[2^i]=1 end table.remove(t,1)',
    'local t={} for i=0,30 do t[2^i]=1 end return table.concat(t)',
    'local t={} for i=0,30 do t[2^i]=1 end table.sort(t)',
    "return table.concat({},'',1,2147483647)",
    "return table.concat({'x'},('y'):rep(1000000),1,1)",
    'local t={} for i=1,100000 do t[i]=i%7 end table.sort(t, function(a,b) return true end)',
    'local t={} for i=1,1000000 do t[i]=-i end table.sort(t) return 1',
    'table.sort({3,2,1}, function() while true do end end)',
    'table.foreach({1}, function() while true do end end)',
    'local a = {} for i = 1, 100000 do a = {a} end return a',
    'local a = {} for i = 1, 150 do a = {a} end return a',
    'local a = {} a[1] = a return a',
    'local a = {} a.map = a return a',
    'local a = {} a.set = a return a',
    'local a={} a[a]=a return {map=a}',
    'local a = {} for i = 1, 100000 do a = {a} end return cjson.encode(a)',
    "return cjson.decode(('['):rep(1000000))",
    "return cjson.decode('\"' .. ('\\\\u0041'):rep(100000) .. '\"')",
    "return #cjson.encode(('\\1'):rep(1000000))",
    "return cjson.decode(('1'):rep(1000000))",
    'local t = setmetatable({}, {__index = function(t, k) return t[k] end}) return t.x',
    'local t = {} setmetatable(t, {__index = t}) return t.x',
    'local t = setmetatable({}, {__index = function() while true do end end}) return t',
    'local t = setmetatable({}, {__tostring = function() error({}) end}) return tostring(t)',
    'error(setmetatable({}, {__tostring = function() while true do end end}))',
    'error(setmetatable({}, {__index = function() while true do end end}))',
    'setmetatable(_G, nil)',
    'setmetatable(string, {})',
    "getmetatable('').__index = nil",
    "getmetatable('').__index.find = nil",
    'string.find = nil',
    "rawset(string, 'find', 1)",
    'for k in pairs(_G) do rawset(_G, k, nil) end',
    'table.insert(_G, 1)',
    'table.sort(_G)',
    'redis = nil',
    'KEYS = nil',
    '_G.redis = nil',
    '_G._G = nil',
    "return loadstring('\\27Lua')",
    "return load(function() return '\\27Lua' end)",
    'return load(function() while true do end end)',
    "return load(function() return 'x' end)",
    "return loadstring(('('):rep(100000))",
    "return loadstring('return ' .. ('{'):rep(100000))",
    "return loadstring('return ' .. ('a..'):rep(100000) .. 'a')",
    "return loadstring(('local a '):rep(1000))",
    "return loadstring('x=' .. ('-'):rep(1000001) .. '1')",
    "return loadstring('return ' .. ('not '):rep(1000001) .. '1')",
    "return loadstring('return ' .. ('x.'):rep(100000) .. 'x')",
    "return loadstring('local t = {' .. ('1,'):rep(200000) .. '}')",
    "return loadstring('return function() ' .. ('return function() '):rep(10000))",
    "return loadstring(('do '):rep(10000))",
    "return loadstring('return \"' .. ('a'):rep(1000000) .. '\"')()",
    "return loadstring(('goto a '):rep(10))",
    "return loadstring('--[' .. ('='):rep(100000) .. '[')",
    'return os.exit',
    'return os.getenv',
    'return io',
    'return debug',
    'return package',
    'return python',
    'return require',
    'return dofile',
    'return newproxy',
    'return getfenv',
    'return setfenv',
    'return module',
    'return coroutine',
    "collectgarbage('stop') local i=0 while i < 1e6 do i = i + 1 local t = {i} end return i",
    "collectgarbage('setpause', 100000)",
    'while true do collectgarbage() end',
    "while true do redis.call('ping') end",
    "local t={} for i=1,7000 do t[i]=('x'):rep(1000000) end return redis.call('x', unpack(t))",
    "local s=('x'):rep(10000000) local t={} for i=1,7000 do t[i]=s end return t",
    "local s=('x'):rep(10000000) local t={} for i=1,7000 do t[i]=s end return redis.call(unpack(t))",
    "local s=('x'):rep(30000000) while true do redis.call('set','k',s) end",
    'local t={} for i=1,3000000 do t[i]=i end return t',
    'local t={} for i=1,100000 do t[i]={} end return t',
    "return redis.call('big')",
    "local t={} while true do t[#t+1]=redis.call('big') end",
    "local t={} while true do t[#t+1]=redis.pcall('list') end",
    "while true do redis.call('list') end",
    'return redis.call({})',
    'return redis.call(nil)',
    'return redis.call(function() end)',
    'return redis.call(redis)',
    'return redis.call(cjson.null)',
    'local t={} for i=1,7000 do t[i]={} end return redis.call(unpack(t))',
    'local t={} while true do t[#t+1]={} pcall(redis.call, t, t, t, t, t) end',
    "redis.call('boom')",
    "pcall(redis.call, 'boom') return 1",
    "return pcall(redis.pcall, 'boom')",
    "return {pcall(redis.call,'deep')}",
    "return redis.call('deep')",
    "redis.log(1, ('x'):rep(30000000))",
    "while true do redis.log(0,'x') end",
    "return redis.sha1hex(('x'):rep(30000000))",
    'redis.setresp(3) return {map={[{}]={}, [1]={}}}',
    "return redis.error_reply(('x'):rep(30000000))",
    "error(('x'):rep(30000000))",
    "error({err=('x'):rep(30000000)})",
    'return math.random(0)',
    'return math.random(-1e308,1e308)',
    'math.randomseed(0/0) return math.random(10)',
    'math.randomseed(1/0) return math.random(10)',
    'return bit.tohex(1, -2147483648)',
    'return bit.lshift(1, 1e308)',
    'return bit.band(0/0)',
    'return bit.rol(1,-1)',
    "return tonumber(('1'):rep(1000000))",
    "return tonumber('z', 99)",
    'return tostring(-0/0)',
    'return select(-1)',
    'return select(-1e308, 1)',
    'return string.char(256)',
    'return string.char(-1)',
    "return string.byte(('x'):rep(100000),1,-1)",
    "return ('x'):byte(-2147483648, 2147483647)",
    "return ('x'):sub(-2147483648, 2147483647)",
    "return next({}, 'x')",
    "return next(_G, 'x')",
    'for i=1,1e308 do end',
    'for i=1,0/0 do end return 1',
    'return #setmetatable({},{__len=function() return 1e9 end})',
    "local s='' for i=1,100000 do s=s..i end return #s",
    'return ipairs(_G)',
    "return rawget(_G,'redis')",
    'return rawequal(_G,_G)',
    'return gcinfo()',
    'local t = {} for i=1,8000 do t[i]=i end return math.max(unpack(t))',
    'local t = {} for i=1,7899 do t[i]=i end return math.max(unpack(t))',
    "return (function(...) return select('#',...) end)(unpack({},1,7899))",
    "local f f=function(n,...) if n==0 then return select('#',...) end return f(n-1,...,unpack({},1,1000)) end return f(100)",
    'local t={} t[0/0]=1',
    'local t={} t[nil]=1',
    'return {err=setmetatable({},{})}',
    'return {ok={}}',
    "return setmetatable({}, {__index={err='x'}})",
    "return string.gsub('x','x',function() while true do end end)",
    "local function r(s) return (s:gsub('.', r)) end return r('x')",
    "return (('x'):gsub('.', function() error() end))",
    "local n=0 local function r(s) n=n+1 return (s:gsub('x', r)) end return r('x')",
    # Functions in C, of which a count hook sees nothing: each as long as the memory allows, and again and again.
    'local t={} for i=1,1000000 do t[i]=i*7919%1000003 end while true do table.sort(t) end',
    'local t={} for i=1,500000 do t[i]=i%1000 end while true do table.sort(t, function(a,b) return a>b end) end',
    'local t={} for i=1,1000000 do t[i]=i*7919%1000003 end table.sort(t, rawequal)',
    "local t={} for i=1,200 do t[i]=('x'):rep(100000)..i end while true do table.sort(t) end",
    'local t={} for i=1,99 do t[i]=i end while true do table.sort(t) end',
    'local t={} for i=1,1000000 do t[i]=i end while true do table.insert(t,1,0) table.remove(t,1) end',
    'local t={} for i=0,30 do t[2^i]=1 end while true do table.insert(t,1,1) end',
    'local t={} for i=0,30 do t[2^i]=1 end table.foreachi(t, type)',
    'local t={} for i=1,1000000 do t[i]=i end while true do table.foreach(t, type) end',
    'local t={} for i=1,1000000 do t[i]=i end while true do table.maxn(t) end',
    "local t={} for i=1,1000000 do t[i]='' end while true do table.concat(t) end",
    "local s=('x'):rep(20000000) local t={s,s} while true do table.concat(t) end",
    "local s=('x'):rep(20000000) while true do local u = s..'y' end",
    "local s=('x'):rep(20000000) while true do s:lower() s:upper() s:reverse() end",
    "local s=('x'):rep(20000000) while true do s:find('y',1,true) s:find('[yz]') end",
    "local s=('x'):rep(20000000) while true do s:gsub('x','x',1) s:match('x$') end",
    "local s=('x'):rep(20000000) while true do s:gsub('y','') end",
    "local s=('x'):rep(1000000) while true do for w in s:gmatch('.') do end end",
    "while true do local s=('x'):rep(20000000) end",
    "local s=('x'):rep(20000000) while true do string.format('%q',s) string.format('%s',s) end",
    "local s=('1'):rep(20000000) while true do tonumber(s) end",
    "local s=('x'):rep(20000000) while true do redis.sha1hex(s) end",
    "local s=('x'):rep(5000000) while true do cjson.encode(s) end",
    "local s=cjson.encode(('x'):rep(5000000)) while true do cjson.decode(s) end",
    "while true do cjson.encode({('x'):rep(1000000)}) end",
    'local t={} for i=1,7899 do t[i]=i end while true do math.max(unpack(t)) end',
    'local t={} for i=1,7899 do t[i]=i end while true do select(-1, unpack(t)) string.char(1) end',
    'local t={} for i=1,400000 do t[i]={} end while true do collectgarbage() end',
    "local t={} for i=1,400000 do t['k'..i]=1 end for k in pairs(t) do t[k]=nil end while true do next(t) end",
    'local t={} for i=1,262144 do t[i+0.5]=i end local k=1.5 while true do t[k]=nil k=k+262144 t[k]=1 end',
    "local s='return '..('x and '):rep(1000000)..'x' return loadstring(s)",
    "return loadstring('if x then '..('elseif x then '):rep(100000)..'end')",
    "return loadstring('while x do '..('if x then break end '):rep(100000)..'end')",
    "local s=('x=1 '):rep(500000) while true do loadstring(s) end",
    "local s='--'..('x'):rep(20000000) while true do loadstring(s) end",
    'local t={} for i=1,1000 do t[i]=i end for n=1,5 do local u={} for i=1,1000 do u[i]=t end t=u end return t',
]

HARMLESS = b"""
assert(('x'):find('x') == 1 and ('%d'):format(3) == '3')
assert(redis.call('ping').ok == 'OK')
assert(type(string.gsub) == 'function' and type(redis.pcall) == 'function' and type(cjson.decode) == 'function')
assert(not pcall(function() return nothing end))
return KEYS[1] .. ARGV[1]
"""


class StoreFault(Exception):
    pass


def call(argv: list[bytes], resp3: bool) -> Reply:
    if argv[0] == b'big':
        return b'x' * 20_000_000
    if argv[0] == b'list':
        return [b'x' * 100] * 100_000
    if argv[0] == b'boom':
        raise StoreFault
    return OK


def look(seconds: float) -> ReplyError | None:
    return ScriptAborted('ERR out of time') if seconds > 0.1 else None


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    sandbox = Sandbox(limits=Limits(command_bytes=64 << 20))
    for source in HOSTILE:
        print(source, flush=True)
        faulthandler.dump_traceback_later(20, exit=True)
        try:
            sandbox.run(sandbox.load(source.encode()), [b'k'], [b'a'], call, look=look)
        except (ReplyError, StoreFault):
            pass
        assert sandbox.run(sandbox.load(HARMLESS), [b'k'], [b'a'], call) == b'ka', source
    print('survived')


if __name__ == '__main__':
    main()
