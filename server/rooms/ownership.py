"""Whose client ids they are: who may write under which, in one room. Pure.

An id belongs to whoever uses it first, *firmly* once its owner has written under it. What a member brings in answer to
the relay's own question may be another's work, so an id that comes that way first is only *carried*. The rules and
the reasons: docs/explanation/client-ids.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from crdt_sync.errors import ClientIdTaken
from crdt_sync.protocol.messages import Presence
from crdt_sync.stores.update_log import Binding, How
from crdt_sync.updates.pieces import Span
from crdt_sync.values import ClientId
from server.rooms.keeper import AUTHOR
from server.rooms.turn import Carried

IMPORTED: Final = "import"
"""Stands in the log beside what an operator has imported, whoever wrote that."""

AnnouncerOf: TypeAlias = Callable[[ClientId], str | None]
"""Who is here and says of a client id, by its presence, that it is its own."""


class Claim(NamedTuple):
    """What becomes of the ids of an update that may be kept."""

    bindings: Sequence[Binding] = ()
    carried: Sequence[Carried] = ()


NO_CLAIM: Final = Claim()


class Owners:
    """The client ids of one document and whose they are. Moves on only by :meth:`admit` and :meth:`recall`."""

    def __init__(self, bindings: Mapping[ClientId, Binding] | None = None, *, may_carry: bool = True) -> None:
        """``bindings`` are those on record. With ``may_carry`` a member may bring, in answers, what others wrote under
        ids of theirs."""
        self._bound: dict[ClientId, Binding] = dict(bindings or {})
        self._may_carry = may_carry
        self._unrecorded: list[Binding] = []

    def recall(self, log: Iterable[tuple[Sequence[Span], str]]) -> None:
        """Take in who brought what is in the log, for ids that were used before owners were on record. What comes of it
        goes on record with the next update."""
        for spans, author in log:
            for span in spans:
                if span.client not in self._bound and author not in ("", IMPORTED):
                    binding = Binding(span.client, author, "firm" if author == AUTHOR else "carried")
                    self._bound[span.client] = binding
                    self._unrecorded.append(binding)

    def judge(self, spans: Sequence[Span], subject: str, *, is_answer: bool, announcer_of: AnnouncerOf) -> Claim:
        """Whether ``subject`` may bring new structs in ``spans``; nothing moves. ``is_answer`` says that the relay has
        asked for them. Raises :class:`ClientIdTaken`."""
        bindings: list[Binding] = []
        carried: list[Carried] = []
        for span in spans:
            held = self._bound.get(span.client)
            if held is not None and held.subject == subject and held.how != "carried":
                continue
            how, owner = self._judge(span.client, held, subject, is_answer, announcer_of(span.client))
            if owner is not None:
                carried.append(Carried(subject, owner, span.client, span.clock, span.end_clock))
            if how is not None:
                bindings.append(Binding(span.client, owner if how == "mixed" and owner else subject, how))
        return Claim(bindings, carried) if bindings or carried else NO_CLAIM

    def _judge(
        self, client: ClientId, held: Binding | None, subject: str, is_answer: bool, announcer: str | None
    ) -> tuple[How | None, str | None]:
        """How the id is to be bound from now on, if otherwise than before, and whose work is carried, if any is."""
        # Who brings what it announces as its own does not carry it: a page that comes back says so before it answers.
        is_own = not is_answer or announcer == subject
        rival = announcer if announcer != subject else None
        if (
            held is not None
            and held.subject != subject
            and (held.how != "carried" or (is_own and held.subject == AUTHOR))
        ):
            # Nobody can have more of what this relay has written: what was not on disk was shown to nobody.
            if not is_answer or not self._may_carry or held.subject == AUTHOR:
                raise ClientIdTaken(client)
            return ("mixed" if held.how == "firm" else None), held.subject
        if rival is not None and (is_own or not self._may_carry):
            raise ClientIdTaken(client)
        if is_own:
            return "firm", None
        if held is None:
            return "carried", rival
        return None, rival if held.subject == subject else (rival or held.subject)

    def admit(self, claim: Claim) -> Sequence[Binding]:
        """Let a claim hold; returns what is to be put on record with its update."""
        if claim is NO_CLAIM and not self._unrecorded:
            return ()
        for binding in claim.bindings:
            self._bound[binding.client] = binding
        recorded = [*self._unrecorded, *claim.bindings]
        self._unrecorded.clear()
        return recorded

    def person(self, client: ClientId) -> str | None:
        """Who wrote all that is under an id, where that is certain."""
        held = self._bound.get(client)
        return held.subject if held is not None and held.how == "firm" else None

    def audible(self, presence: Presence, subject: str) -> Presence:
        """What ``subject`` may say of who is here: nothing about ids that are firmly another's."""
        entries = tuple(entry for entry in presence.entries if self._may_announce(entry.client, subject))
        return presence if len(entries) == len(presence.entries) else Presence(entries)

    def _may_announce(self, client: ClientId, subject: str) -> bool:
        held = self._bound.get(client)
        return held is None or held.subject == subject or held.how == "carried"
