"""What is raised for bytes that are not a serialized value."""

from __future__ import annotations


class BadPayload(Exception):
    """The bytes are not what Redis would have written."""


class ExpiringFields(Exception):
    """A hash has fields that expire."""
