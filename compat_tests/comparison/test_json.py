"""cjson's settings: what each takes, what it answers, and what it changes."""

from __future__ import annotations

import pytest

from compat_tests.comparison.contest import Contest, Server
from compat_tests.real_redis import RealRedis

VALUES = (
    *('', 'nil', '1', '0', '-1', '1.5', '14', '15', '1000', '2147483647', '2147483648', '"5"', '"x"', 'true', 'false'),
    *('"on"', '"off"', '"null"', '"NULL"', '{}', '1,2', 'nil,nil', '1,2,3,4', 'nil,nil,nil,nil'),
    *('true,3,4', 'true,-1', 'true,1,-1', 'true,"x"', 'true,2,"x"', 'nil,3', 'nil,nil,3'),
)
SETTINGS = (
    *('encode_max_depth', 'decode_max_depth', 'encode_number_precision', 'encode_keep_buffer'),
    *('encode_invalid_numbers', 'decode_invalid_numbers', 'encode_sparse_array'),
)
# In Redis settings stay for the scripts of others.
DEFAULTS = (
    'cjson.encode_max_depth(1000) cjson.decode_max_depth(1000) cjson.encode_number_precision(14) '
    'cjson.encode_keep_buffer(true) cjson.encode_invalid_numbers(false) cjson.decode_invalid_numbers(true) '
    'cjson.encode_sparse_array(false, 2, 10) return 1'
)
EFFECTS = (
    'cjson.encode_max_depth(1) return cjson.encode({1})',
    'cjson.encode_max_depth(1) return cjson.encode({a={}})',
    'cjson.encode_max_depth(1100) local t={} for i=1,1050 do t={t} end return #cjson.encode(t)',
    'cjson.encode_max_depth(100000) local t={} t[1]=t return cjson.encode(t)',
    'cjson.decode_max_depth(1) return cjson.decode("[1]")',
    'cjson.decode_max_depth(1) return cjson.decode("[[1]]")',
    'cjson.decode_max_depth(2) return cjson.decode(\'{"a":[{}]}\')',
    'cjson.decode_max_depth(1100) return #cjson.decode(string.rep("[",1050)..string.rep("]",1050))',
    'cjson.decode_max_depth(100000) return #cjson.decode(string.rep("[",9000)..string.rep("]",9000))',
    'cjson.encode_number_precision(3) return cjson.encode({1/3, 12345})',
    'cjson.encode_invalid_numbers("on") return cjson.encode({0/0, 1/0, -1/0})',
    'cjson.encode_invalid_numbers("null") return cjson.encode({0/0, 1/0, -1/0})',
    'cjson.encode_invalid_numbers("off") return cjson.encode({1/0})',
    'cjson.encode_sparse_array(true) return cjson.encode({[100]=1})',
    'cjson.encode_sparse_array(false, 0) return cjson.encode({[13]=1})',
    'cjson.encode_sparse_array(false, 2, 3) return cjson.encode({[5]=1})',
    'cjson.encode_sparse_array(false, 2, 3) return cjson.encode({[3]=1})',
)
NUMBERS = (
    *('0', '-0', '-12', '1.5e3', '1E-2', '1.e2', '-.5', '.5', '+1', '1e', '-', '+', '- 1', '1e999', '012', '-012'),
    *(
        '00',
        '0x10',
        '-0x1',
        '0x1.8p1',
        '0x.8',
        '0x',
        'nan',
        'NaN',
        '-nan',
        '+nan',
        'inf',
        '-inf',
        'Infinity',
        '-infinity',
    ),
    *('infinitx', '-i', '+i', 'x', 'nul', 'tru'),
)


@pytest.mark.parametrize('setting', SETTINGS)
def test_what_a_setting_takes(setting: str, model: RealRedis, store: Server) -> None:
    _compare([f'return {{cjson.{setting}({value})}}' for value in VALUES], model, store)


def test_what_settings_change(model: RealRedis, store: Server) -> None:
    _compare(list(EFFECTS), model, store)


@pytest.mark.parametrize('strict', ['false', 'true'])
def test_what_is_a_number(strict: str, model: RealRedis, store: Server) -> None:
    switch = f'cjson.decode_invalid_numbers(not {strict})'
    _compare([f'{switch} return tostring(cjson.decode("[{number}]")[1])' for number in NUMBERS], model, store)


def _compare(scripts: list[str], model: RealRedis, store: Server) -> None:
    with Contest(model, store, patient=True) as contest:
        for script in scripts:
            contest.send('a', 'EVAL', script, 0)
            contest.send('a', 'EVAL', DEFAULTS, 0)
        assert not contest.found, '\n'.join(contest.found)
