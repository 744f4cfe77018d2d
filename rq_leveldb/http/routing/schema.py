"""JSON Schemas of answers, from the types by which they are declared."""

from __future__ import annotations

import types
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints, is_typeddict

from rq_leveldb.http.documents.values import Also, Page, StrangeDocument
from rq_leveldb.http.request.fields import Schema, ref
from rq_leveldb.jobs.moment import Format

__all__ = ['Components']

_PLAIN: dict[Any, str] = {str: 'string', bool: 'boolean', int: 'integer', float: 'number', dict: 'object'}


class Components:
    """The schemas that others refer to by name; collected while types are described.

    A TypedDict is a component, named after its class without `Document`, with its docstring as its description. In
    `Annotated`, text describes a field, `Format` names its form, and `Also` adds to its schema.
    """

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}

    def of(self, kind: Any) -> Schema:
        """Return the schema of a type.

        Args:
            kind: a TypedDict, a `Page` of one, or what fields may be: plain types, lists, Annotated, each also
            with None.
        """
        if is_typeddict(kind):
            return self._component(kind)
        origin, parts = get_origin(kind), get_args(kind)
        if origin is Annotated:
            schema = self.of(parts[0])
            for more in parts[1:]:
                schema = {**schema, **_added(more)}
            return schema
        if origin in (Union, types.UnionType):
            (present,) = [part for part in parts if part is not type(None)]
            return _or_null(self.of(present))
        if origin is Page:
            return self._page(parts[0])
        if origin is list:
            return {'type': 'array', 'items': self.of(parts[0])}
        return {} if kind is Any else {'type': _PLAIN[origin or kind]}

    def _component(self, kind: Any) -> Schema:
        name = _name(kind)
        if name not in self.schemas:
            hints = get_type_hints(kind, include_extras=True)
            properties = {field: self.of(hint) for field, hint in hints.items()}
            required = [field for field in hints if field in kind.__required_keys__]
            self.schemas[name] = _object(kind.__doc__, properties, required)
        return ref(name)

    def _page(self, item: Any) -> Schema:
        name = f'{_name(item)}Page'
        next_page = (
            'The `cursor` of the next page; null on the last. A page may have fewer items than asked for, or none, '
            'although there is a next one: then more is left to look through.'
        )
        properties = {
            'items': self.of(list[item]),
            'next': self.of(Annotated[str | None, next_page]),
            'unreadable': self.of(Annotated[list[StrangeDocument], 'What is stored where such records should be.']),
        }
        self.schemas[name] = _object('A page of a list.', properties, list(properties))
        return ref(name)


def _name(kind: Any) -> str:
    return str(kind.__name__).removesuffix('Document')


def _object(description: str | None, properties: dict[str, Schema], required: list[str]) -> Schema:
    return {
        'type': 'object',
        'description': description,
        'properties': properties,
        'required': required,
        # What has optional fields may get more of them: RFC 9457, section 3.2, has that of problems.
        **({'additionalProperties': False} if len(required) == len(properties) else {}),
    }


def _added(more: Any) -> Schema:
    if isinstance(more, Format):
        return {'format': more.name}
    return more.schema if isinstance(more, Also) else {'description': more}


def _or_null(schema: Schema) -> Schema:
    return {**schema, 'type': [schema['type'], 'null']} if 'type' in schema else {'anyOf': [schema, {'type': 'null'}]}
