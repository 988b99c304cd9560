"""A facade of a document was misused, in our own process. Raised before anything is written."""

from __future__ import annotations

from crdt_sync.errors.base import SyncError


class DocumentError(SyncError):
    """A facade was misused. Raised before anything is written."""

    code = "document-error"


class InvalidName(DocumentError):
    """A tenant, document, field or id that does not fit its grammar."""

    code = "invalid-name"

    def __init__(self, what: str, value: str, rule: str) -> None:
        super().__init__(f"{value[:80]!r} is no {what}: {rule}")
        self.what, self.value = what, value


class InvalidValue(DocumentError):
    """A value that not every peer would read back as it was written."""

    code = "invalid-value"


class InvalidField(InvalidValue):
    """A well-known field of a product or a location was given, or holds, what it is not for."""

    code = "invalid-field"

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"{field}: {value!r} is not {expected}")
        self.field, self.value, self.expected = field, value, expected


class CurrencyMismatch(DocumentError):
    """Money of two currencies was added up or compared: only somebody who knows the rate can do that."""

    code = "currency-mismatch"

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other} do not add up, and neither is more than the other")
        self.one, self.other = one, other


class QuantityOutOfRange(DocumentError):
    """A quantity that is no integer, or beyond what every peer can hold exactly."""

    code = "quantity-out-of-range"

    def __init__(self, quantity: object, rule: str) -> None:
        super().__init__(f"quantity {quantity!r}: {rule}")
        self.quantity = quantity


class UnknownProduct(DocumentError):
    """A movement or an attribute for a product that the catalog does not have."""

    code = "unknown-product"


class UnknownLocation(DocumentError):
    """A movement at a location that the catalog does not have."""

    code = "unknown-location"


class AlreadyExists(DocumentError):
    """Something with this id is there already, with other content."""

    code = "already-exists"


class PeriodClosed(DocumentError):
    """The period's document takes no more movements."""

    code = "period-closed"


class WrongKind(DocumentError):
    """The document holds something else than this facade reads."""

    code = "wrong-kind"


class SchemaTooNew(DocumentError):
    """The document asks for a later version of this project to write it."""

    code = "schema-too-new"


class VersionMismatch(DocumentError):
    """Somebody has written this field since the caller looked at it."""

    code = "version-mismatch"

    def __init__(self, key: str, seen: str, actual: str) -> None:
        super().__init__(f"{key} was written since: it is at version {actual!r}, not {seen!r}")
        self.key, self.seen, self.actual = key, seen, actual


class UnknownSibling(DocumentError):
    """A resolution named a value that does not stand in this conflict."""

    code = "unknown-sibling"

    def __init__(self, key: str, tip: str) -> None:
        super().__init__(f"{tip!r} is none of the values of {key} that stand against each other")
        self.key, self.tip = key, tip


class InsufficientRights(DocumentError):
    """This replica may take fewer units than it wanted to. Another one, or the relay, may hand rights over."""

    code = "insufficient-rights"

    def __init__(self, have: int, want: int) -> None:
        super().__init__(f"this replica has rights to {have}, and wanted to take {want}")
        self.have, self.want = have, want


class NotTheHolder(DocumentError):
    """A hold is ended by the replica that made it, and by nobody else."""

    code = "not-the-holder"

    def __init__(self, hold: str, holder: str) -> None:
        super().__init__(f"hold {hold} belongs to {holder!r}, which alone can end it")
        self.hold, self.holder = hold, holder


class HoldEnded(DocumentError):
    """The hold was confirmed, released or expired before, in another way than it is to be ended now."""

    code = "hold-ended"

    def __init__(self, hold: str, state: str) -> None:
        super().__init__(f"hold {hold} is {state} already")
        self.hold, self.state = hold, state


class PeriodsMissing(DocumentError):
    """Rights are known only from all movements, and the documents of some periods are not open here."""

    code = "periods-missing"

    def __init__(self, periods: list[str]) -> None:
        super().__init__(f"rights need the movements of {', '.join(periods)}, too: open them first")
        self.periods = periods


class FoldRefused(DocumentError):
    """A period can't be folded now, or was folded from other movements than its document has."""

    code = "fold-refused"

    def __init__(self, period: str, reason: str) -> None:
        super().__init__(f"{period} can't be folded: {reason}")
        self.period, self.reason = period, reason


class NothingToUndo(DocumentError):
    """This peer has made no edit since it was opened, or has taken all of them back."""

    code = "nothing-to-undo"


class CannotUndo(DocumentError):
    """An edit can't be taken back, for ``reasons``. Nothing was written.

    With ``is_final`` no later try will do better, so the peer has given it up: the next undo is of the edit before."""

    code = "cannot-undo"

    def __init__(self, reasons: tuple[str, ...], *, is_final: bool) -> None:
        super().__init__("; ".join(reasons))
        self.reasons, self.is_final = reasons, is_final
