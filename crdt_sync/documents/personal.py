"""What is known of one person: attributes in a document of its own, so that all of it can be erased."""

from __future__ import annotations

from crdt_sync.documents.catalog.registers import check_field, check_value, read_value
from crdt_sync.documents.keys import comp, join, uncomp
from crdt_sync.documents.roots import Roots, Value
from crdt_sync.documents.schema import ATTRIBUTES, check_writable
from crdt_sync.errors import InvalidValue


class PersonalDocument:
    """One edit's view of a person's data. Fields have names that are the same for everybody, such as ``email``; what
    is personal stands in their values only, because keys stay when values go."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots

    def set(self, field: str, value: object) -> None:
        """Set one field; None clears it. Raises :class:`InvalidName`, :class:`InvalidValue`."""
        check_writable(self._roots)
        self._roots.put(ATTRIBUTES, join(comp(check_field(field))), check_value(field, value))

    def get(self, field: str) -> Value:
        """One field, None where there is nothing. Raises :class:`InvalidValue` for what no facade has written."""
        return read_value(self._roots.get(ATTRIBUTES, join(comp(check_field(field)))))

    def fields(self) -> dict[str, Value]:
        """Everything that is known; what can't be read is left out."""
        found: dict[str, Value] = {}
        for key, value in sorted(self._roots.entries(ATTRIBUTES).items()):
            field = uncomp(key)
            if field is None or value is None:
                continue
            try:
                found[field] = read_value(value)
            except InvalidValue:
                continue
        return found
