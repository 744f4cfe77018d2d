"""Options that several commands share."""

from __future__ import annotations

import click

from rq_leveldb.location import URL_VARIABLES

__all__ = ['json_output', 'serializer', 'url']

url = click.option('--url', '-u', envvar=list(URL_VARIABLES), help='Where the data is.  [default: leveldb://]')
json_output = click.option('--json', 'as_json', is_flag=True, help='Print one JSON object, for programs.')
serializer = click.option('--serializer', '-S', help='Serializer of the jobs: pickle, json or a class.')
