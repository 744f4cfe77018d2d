"""Errors keep what they say on the way from the store to a client."""

from __future__ import annotations

import json
import pickle

import pytest

from rq_leveldb import errors
from rq_leveldb.errors import StoreError

KINDS = [kind for name in errors.__all__ if isinstance(kind := getattr(errors, name), type)]


@pytest.mark.parametrize('kind', KINDS)
def test_travels_as_json_and_pickle(kind: type[StoreError]) -> None:
    error = kind('/some/where', advice='Do this.')
    for copy in (StoreError.from_json(error.to_json()), pickle.loads(pickle.dumps(error))):
        assert type(copy) is kind
        assert (copy.title, copy.where, copy.advice) == (error.title, '/some/where', 'Do this.')
        assert str(copy) == str(error)


def test_says_what_where_and_what_to_do() -> None:
    assert (
        str(errors.DiskFull('/data'))
        == 'The disk is full: /data. Free some space; writes then work again by themselves.'
    )


def test_a_kind_of_a_later_version_is_read() -> None:
    text = json.dumps({'kind': 'OnFire', 'title': 'It burns', 'where': '/data', 'advice': 'Run.'})
    assert str(StoreError.from_json(text)) == 'It burns: /data. Run.'


@pytest.mark.parametrize('text', ['', '[]', '{', '3'])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own is one
        StoreError.from_json(text)
