"""What was taken back before its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from crdt_sync.errors import InvalidName
from crdt_sync.values import check_tenant
from server.auth.grants import RELAY_SUBJECT, DocumentPattern, Grant

ACT: Final = "revoke"
KEY: Final = "key"
NAME_CHARS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Revocation:
    """Hits the tokens of a tenant that were issued at ``issued_until_s`` or before, and all that was got with them.

    Of those, where they are named, only the ones of ``user`` (``shop`` means the page users ``shop/...``, too) or with
    the id ``token``, whenever they were issued. From what it hits it takes ``document``, or everything.
    """

    tenant: str
    issued_until_s: int
    user: str | None = None
    token: str | None = None
    document: DocumentPattern | None = None
    of_key: bool = False
    """The token is an API key; for whoever reads it."""

    def __post_init__(self) -> None:
        check_tenant(self.tenant)
        for what, name in (("user", self.user), ("token id", self.token)):
            if name is not None and not (0 < len(name) <= NAME_CHARS_MAX and name.isprintable()):
                raise InvalidName(what, name, f"1 to {NAME_CHARS_MAX} printable characters")

    def hits(self, grant: Grant) -> bool:
        """Whether it takes anything from ``grant``. Nothing takes anything from the relay's own steward."""
        # Its key is in the memory of this process and of its child only, so a token of it can't be in wrong hands.
        if grant.tenant != self.tenant or grant.subject == RELAY_SUBJECT:
            return False
        if self.user is not None and grant.subject != self.user and not grant.subject.startswith(f"{self.user}/"):
            return False
        if self.token is not None:
            return grant.token_id == self.token
        return grant.issued_at_s <= self.issued_until_s

    def to_entry(self) -> Mapping[str, Any]:
        """As a line of the access file."""
        return {
            "act": ACT,
            "tenant": self.tenant,
            "issued_until_s": self.issued_until_s,
            "user": self.user,
            "token": self.token,
            "document": None if self.document is None else self.document.text,
            "of": KEY if self.of_key else "token",
        }

    @classmethod
    def parse(cls, entry: Mapping[str, Any]) -> Revocation:
        """Raises KeyError, TypeError, ValueError or :class:`InvalidName` for what is none."""
        document, user, token = entry["document"], entry["user"], entry["token"]
        if not all(text is None or isinstance(text, str) for text in (document, user, token)):
            raise TypeError("user, token and document are texts")
        pattern = None if document is None else DocumentPattern.parse(document)
        return cls(entry["tenant"], int(entry["issued_until_s"]), user, token, pattern, entry.get("of") == KEY)

    def __str__(self) -> str:
        until = datetime.fromtimestamp(self.issued_until_s, UTC).isoformat()
        which = f"the {'key' if self.of_key else 'token'} {self.token}"
        if self.token is None:
            which = f"what was issued until {until}"
        whose = "" if self.user is None else f" to {self.user}"
        what = "" if self.document is None else f", for {self.document}"
        return f"{which}{whose} in {self.tenant}{what}"
