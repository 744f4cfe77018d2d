"""The kinds of values in a request. Each is declared once: how it is read, and its schema for the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from rq_leveldb.http.problems import FieldError

__all__ = [
    'IDENTIFIER',
    'NAME',
    'Field',
    'Invalid',
    'Record',
    'Rule',
    'Schema',
    'array',
    'boolean',
    'choice',
    'either',
    'identifier',
    'integer',
    'mapping',
    'moment',
    'ref',
    'seconds',
    'text',
]

Schema = dict[str, Any]
"""JSON Schema 2020-12, as OpenAPI 3.1 uses it."""

NAME = r'^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$'
"""What the dotted name of a function looks like."""
IDENTIFIER = r'^[A-Za-z0-9_-]{1,200}$'
"""RQ's job ids (rq.job.validate_job_id), with a length."""

# The longest duration that is accepted, seconds: ten years.
_LONGEST = 10 * 366 * 86400
# Durations as text; whatever matches is shorter than that.
_DURATION = r'^([0-9]{1,8}[sS]?|[0-9]{1,6}[mM]|[0-9]{1,4}[hH]|[0-9]{1,3}[dD])$'
_POSITIVE_DURATION = r'^([1-9][0-9]{0,7}[sS]?|[1-9][0-9]{0,5}[mM]|[1-9][0-9]{0,3}[hH]|[1-9][0-9]{0,2}[dD])$'
_UNITS = {'s': 1, 'm': 60, 'h': 3600, 'd': 86400}
_MOMENT = re.compile(
    r'[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,30})?([Zz]|[+-][0-9]{2}:[0-9]{2})'
)
# The earliest time that RQ's scheduler finds, and the latest that Python knows.
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_END = datetime(9999, 12, 31, tzinfo=timezone.utc)


def ref(name: str) -> Schema:
    """Return a reference to a schema.

    Args:
        name: its name among the components of the OpenAPI document.
    """
    return {'$ref': f'#/components/schemas/{name}'}


class Invalid(ValueError):
    """A value that is not accepted.

    Args:
        detail: what was expected.
        pointer: JSON pointer to it from the value that was read.
    """

    def __init__(self, detail: str, pointer: str = '') -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer


@dataclass(frozen=True)
class Field:
    """A kind of value in a request.

    Args:
        read: returns a value as RQ wants it; raises Invalid where it is not accepted.
        schema: what it accepts.
        is_required: whether it must be given.
    """

    read: Callable[[Any], Any]
    schema: Schema
    is_required: bool = False

    def described(self, description: str) -> Field:
        """Return the same field with a description.

        Args:
            description: one or two sentences.
        """
        return replace(self, schema={**self.schema, 'description': description})

    def required(self) -> Field:
        """Return the same field, which must be given."""
        return replace(self, is_required=True)

    def then(self, make: Callable[[Any], Any]) -> Field:
        """Return a field that accepts the same, and makes something else of it.

        Args:
            make: takes what this field reads.
        """
        read = self.read
        return replace(self, read=lambda value: make(read(value)))


@dataclass(frozen=True)
class Rule:
    """Fields that contradict each other.

    Args:
        blamed: the field that the error names.
        detail: what is wrong.
        given: the contradiction needs all of these fields,
        flags: and all of these to be true,
        missing: and all of these to be left out.
    """

    blamed: str
    detail: str
    given: Sequence[str] = ()
    flags: Sequence[str] = ()
    missing: Sequence[str] = ()

    def is_broken_by(self, values: Mapping[str, Any]) -> bool:
        """Say whether an object holds the contradiction.

        Args:
            values: its fields, without those that are null.
        """
        for name in self.given:
            if name not in values:
                return False
        return all(map(values.get, self.flags)) and not any(name in values for name in self.missing)

    @property
    def schema(self) -> Schema:
        """The schema of the objects that hold the contradiction; null counts as left out."""
        parts: list[Schema] = [_given(self.given)] if self.given else []
        parts += [{'not': _given([name])} for name in self.missing]
        parts += [{'properties': {name: {'const': True}}, 'required': [name]} for name in self.flags]
        return parts[0] if len(parts) == 1 else {'allOf': parts}


def _given(names: Sequence[str]) -> Schema:
    return {'properties': {name: {'not': {'type': 'null'}} for name in names}, 'required': list(names)}


class Record:
    """An object in a request, without other fields than those that are declared; null counts as left out.

    Args:
        fields: the fields by name.
        name: its name in the OpenAPI document; '' for one that is only part of another.
        rules: what they must not contradict.
        description: one or two sentences.
        examples: objects that are accepted.
    """

    def __init__(
        self,
        fields: Mapping[str, Field],
        name: str = '',
        rules: Sequence[Rule] = (),
        description: str = '',
        examples: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.name = name
        self.required = [name for name, field in fields.items() if field.is_required]
        self._readers = {name: field.read for name, field in fields.items()}
        self._rules = rules
        # Nearly every object has none of these.
        self._ruled = {name for rule in rules for name in (*rule.given, *rule.flags)}
        self.schema: Schema = {
            'type': 'object',
            'properties': {
                name: field.schema if field.is_required else _nullable(field.schema) for name, field in fields.items()
            },
            'additionalProperties': False,
        }
        if rules:
            self.schema['not'] = {'anyOf': [rule.schema for rule in rules]}
        for name, value in (('required', self.required), ('description', description), ('examples', list(examples))):
            if value:
                self.schema[name] = value

    def read(self, document: Any) -> tuple[dict[str, Any], list[FieldError]]:
        """Read the fields.

        Args:
            document: what should be an object.

        Returns:
            The values by name, and what is wrong with the others.
        """
        if type(document) is not dict:
            return {}, [FieldError('must be an object', pointer='')]
        values: dict[str, Any] = {}
        errors: list[FieldError] = []
        for name, value in document.items():
            reader = self._readers.get(name)
            if reader is None:
                errors.append(FieldError('is not a field of this request', pointer=_pointer(name)))
            elif value is not None:
                try:
                    values[name] = reader(value)
                except Invalid as error:
                    errors.append(FieldError(error.detail, pointer=_pointer(name) + error.pointer))
        for name in self.required:
            if document.get(name) is None:
                errors.append(FieldError('is required', pointer=_pointer(name)))
        for rule in () if self._ruled.isdisjoint(values) else self._rules:
            if rule.is_broken_by(values):
                contradiction = FieldError(rule.detail, pointer=_pointer(rule.blamed))
                if contradiction not in errors:
                    errors.append(contradiction)
        return values, errors

    def then(self, make: Callable[[dict[str, Any]], Any]) -> Field:
        """Return a field that holds such an object.

        Args:
            make: takes the values by name.
        """

        def read(value: Any) -> Any:
            values, errors = self.read(value)
            if errors:
                raise Invalid(errors[0].detail, errors[0].pointer or '')
            return make(values)

        return Field(read, self.schema)


def _nullable(schema: Schema) -> Schema:
    inner = {name: value for name, value in schema.items() if name != 'description'}
    described = {'description': schema['description']} if 'description' in schema else {}
    return {'anyOf': [inner, {'type': 'null'}], **described}


def _pointer(name: str) -> str:
    return '/' + name[:100].replace('~', '~0').replace('/', '~1')


def text(longest: int, pattern: str | None = None, expected: str = '') -> Field:
    """Return the kind of strings.

    Args:
        longest: most characters.
        pattern: what all of it must match, as a regular expression of JSON Schema.
        expected: what is said where it does not.
    """
    compiled = re.compile(pattern) if pattern else None

    def read(value: Any) -> str:
        if type(value) is not str:
            raise Invalid('must be a string')
        if not value or len(value) > longest:
            raise Invalid(f'must have 1 to {longest} characters')
        # A trailing line feed matches before $ in Python and not in ECMA 262, which JSON Schema means.
        if compiled is not None and (compiled.search(value) is None or value[-1] == '\n'):
            raise Invalid(expected)
        return value

    return Field(
        read, {'type': 'string', **({'pattern': pattern} if pattern else {'minLength': 1}), 'maxLength': longest}
    )


def integer(least: int, most: int) -> Field:
    """Return the kind of integers.

    Args:
        least: the smallest that is accepted.
        most: the largest.
    """

    def read(value: Any) -> int:
        # JSON Schema counts 1.0 as an integer, and some languages write it so.
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            raise Invalid('must be an integer')
        if not least <= value <= most:
            raise Invalid(f'must be {least} to {most}')
        return value

    return Field(read, {'type': 'integer', 'minimum': least, 'maximum': most})


def seconds(*also: int, least: int = 0) -> Field:
    """Return the kind of durations: whole seconds, or digits with one of the units s, m, h, d.

    Args:
        also: values that are accepted besides, such as -1 for no limit.
        least: the shortest that is accepted.
    """
    pattern = re.compile(_DURATION)

    def read(value: Any) -> int:
        if type(value) is str:
            if pattern.fullmatch(value) is None:
                raise Invalid('must be seconds, or digits with one of the units s, m, h, d')
            unit = value[-1].lower()
            value = int(value.rstrip('sSmMhHdD')) * _UNITS.get(unit, 1)
        elif type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            raise Invalid('must be whole seconds, or digits with one of the units s, m, h, d')
        if value not in also and not least <= value <= _LONGEST:
            others = ''.join(f', or {item}' for item in also)
            raise Invalid(f'must be {least} to {_LONGEST} seconds{others}')
        return value

    choices: list[Schema] = [
        {'type': 'integer', 'minimum': least, 'maximum': _LONGEST},
        {'type': 'string', 'pattern': _POSITIVE_DURATION if least else _DURATION},
    ]
    if also:
        choices.append({'enum': list(also)})
    return Field(read, {'anyOf': choices})


def choice(*names: str) -> Field:
    """Return the kind of one of some words.

    Args:
        names: the words.
    """

    def read(value: Any) -> str:
        if type(value) is not str or value not in names:
            raise Invalid(f'must be one of {", ".join(names)}')
        return value

    return Field(read, {'enum': list(names)})


def array(item: Field | None = None, most: int = 0, expected: str = 'must be an array') -> Field:
    """Return the kind of arrays.

    Args:
        item: the kind of its items; None accepts any number of anything.
        most: most items; there must be one.
        expected: what is said where it is something else.
    """

    def read(value: Any) -> list[Any]:
        if type(value) is not list:
            raise Invalid(expected)
        if item is None:
            return value
        if not 1 <= len(value) <= most:
            raise Invalid(f'must have 1 to {most} items')
        items = []
        for index, one in enumerate(value):
            try:
                items.append(item.read(one))
            except Invalid as error:
                raise Invalid(error.detail, f'/{index}{error.pointer}') from None
        return items

    limits = {'items': item.schema, 'minItems': 1, 'maxItems': most} if item is not None else {}
    return Field(read, {'type': 'array', **limits})


def either(kinds: Mapping[type, Field]) -> Field:
    """Return the kind of values that are of one of several kinds.

    Args:
        kinds: by the type of the value in Python; `object` stands for every other type.
    """

    def read(value: Any) -> Any:
        return (kinds.get(type(value)) or kinds[object]).read(value)

    return Field(read, {'anyOf': [kind.schema for kind in kinds.values()]})


def _read_boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise Invalid('must be true or false')
    return value


def _read_mapping(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise Invalid('must be an object')
    return value


def _read_moment(value: Any) -> datetime:
    if type(value) is not str or _MOMENT.fullmatch(value) is None:
        raise Invalid('must be a date and time with its offset, as 2030-01-31T12:00:00Z (RFC 3339)')
    plain = value.upper().replace('Z', '+00:00').replace(' ', 'T')
    if plain[17:19] == '60':
        # A leap second, which Python does not know.
        plain = f'{plain[:17]}59{plain[19:]}'
    head, dot, rest = plain.partition('.')
    if dot:
        digits = re.match(r'[0-9]+', rest)
        assert digits is not None
        # Python before 3.11 reads three or six digits only.
        plain = f'{head}.{digits[0][:6]:0<6}{rest[digits.end() :]}'
    try:
        read = datetime.fromisoformat(plain).astimezone(timezone.utc)
    except ValueError:
        raise Invalid('must be a date and time that exist') from None
    except OverflowError:
        return _EPOCH if plain.startswith('0001') else _END
    # RQ's scheduler looks from the epoch on: what is earlier would never be found.
    return max(read, _EPOCH)


boolean = Field(_read_boolean, {'type': 'boolean'})
mapping = Field(_read_mapping, {'type': 'object'})
moment = Field(_read_moment, {'type': 'string', 'format': 'date-time'})
identifier = text(200, IDENTIFIER, 'may have letters, digits, underscores and dashes only')
