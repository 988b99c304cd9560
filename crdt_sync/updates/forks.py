"""Finds concurrent writes of one map key, exactly, from the origins of its entries.

Whoever sets a key puts an element behind the last one that it sees in that key's list, deleted or not, and names it
as its origin. So if two elements of a key have one origin, or two have none, neither writer saw the other's: had it,
the other's would have been the last. And if no two have, the elements are one chain, and each writer saw all before.
The *heads* of a key are its elements that are nobody's origin; more than one head means a concurrent write that no
single write has followed. That holds for every writer that keeps to the Yjs format, whatever it knows of us, and
after collection, undo and redo: an overwritten element keeps its id and its origin for as long as the root is there.

What its writer built on is its *base*: the element that is its origin. As long as somebody who knew that element
follows, it is kept beside the head, so that a merge can tell what each writer changed.

What bytes can't tell: a page that overwrites after *seeing* both leaves both branches standing, which is the safe
side. ``map.delete`` adds no element at all; a delete that meets a concurrent set is seen only as :class:`Overruled`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from crdt_sync.limits import DEFAULT_LIMITS, Limits
from crdt_sync.updates.content import GONE, elements, last_but_one
from crdt_sync.updates.decode import ANY, DELETED, DecodedUpdate, Deletes, Struct, decode_update
from crdt_sync.updates.gate import Verdict, judge
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.ranges import DeleteSet
from crdt_sync.values import ClientId, Clock, Id

_NOBODY: Final = -1

_BASES_SEARCHED_MAX: Final = 64
"""Among so many heads the base of another one is looked for; thousands of them must not make that quadratic."""


class _Element(NamedTuple):
    client: ClientId
    clock: Clock
    kind: int
    content: bytes


class _Standing(NamedTuple):
    """A head among several."""

    element: _Element
    base: _Element | None


class Head(NamedTuple):
    """An element of a key that no other one follows."""

    client: ClientId
    clock: Clock
    kind: int
    content: bytes
    base: bytes | None = None
    """The content of the element that this one's writer overwrote; None where it overwrote none, or it is not known
    any more."""
    base_kind: int = DELETED

    @property
    def dot(self) -> str:
        """Its name: ``{client}.{clock}``, both decimal, as a page reads them off an item's ``lastId``."""
        return f"{self.client}.{self.clock}"

    @property
    def is_known(self) -> bool:
        """Its value is here; it is not when a document was collected before anybody looked."""
        return self.kind != DELETED

    def value(self) -> Any:
        """What was written, as JSON has it and with every number a float; ``GONE`` when it is not known."""
        return _read(self.kind, self.content)

    def base_value(self) -> Any:
        """What the key held when its writer wrote, in the same form; ``GONE`` when it held nothing or nobody here
        knows."""
        return GONE if self.base is None else _read(self.base_kind, self.base)


def _read(kind: int, content: bytes) -> Any:
    if kind == DELETED:
        return GONE
    *_, last = elements(content, Struct(0, 1, kind, None, None, None, None, 0, 0, len(content)))
    return last


class Overruled(NamedTuple):
    """A delete that the writer of ``head`` had not seen, and that is therefore without effect."""

    root: str
    key: str
    head: Head


class Fed(NamedTuple):
    """What an update did to the keys that are watched."""

    forked: Sequence[tuple[str, str]]
    """(root, key) of those that it wrote and that have several heads now."""
    overruled: Sequence[Overruled]


NOTHING: Final = Fed((), ())


class _Register:
    """One key of one root. Nearly all have a single head, and most of the memory is theirs."""

    __slots__ = ("base", "heads", "is_deleted", "key", "only", "root")

    def __init__(self, root: str, key: str) -> None:
        self.root = root
        self.key = key
        self.only: _Element | None = None
        """The head, while there is a single one."""
        self.base: _Element | None = None
        """What that one overwrote."""
        self.heads: dict[Id, _Standing] = {}
        """The heads, once there are several; by id, so that a writer who makes thousands of them costs no more."""
        self.is_deleted = False
        """Its only head was deleted by somebody who did not overwrite it."""

    def take(self, origin: Id | None, element: _Element, before: _Element | None) -> None:
        """``element`` follows ``origin``, or, where that is no head, stands beside all others; ``before`` is what it
        overwrote, if it came with it."""
        self.is_deleted = False
        only = self.only
        if only is not None:
            if origin is not None and only[1] == origin[1] and only[0] == origin[0]:
                self.base = before or only
                self.only = element
                return
            self.heads[only[0], only[1]] = _Standing(only, self.base)
            self.only = self.base = None
        elif not self.heads:
            self.only = element
            self.base = before
            return
        if before is None and origin is not None:
            before = self._known(origin)
        if origin is not None:
            self.heads.pop(origin, None)
        self.heads[element[0], element[1]] = _Standing(element, before)

    def _known(self, id_: Id) -> _Element | None:
        """The element of this id: a head, or what some head overwrote."""
        if id_ in self.heads:
            return self.heads[id_].element
        bases = (head.base for head in islice(self.heads.values(), _BASES_SEARCHED_MAX))
        return next((base for base in bases if base is not None and base[:2] == id_), None)

    def all_heads(self) -> Sequence[Head]:
        """By rising id."""
        if self.only is not None:
            return (_head(self.only, self.base),)
        return [_head(*self.heads[id_][:2]) for id_ in sorted(self.heads)]

    def head(self, element: _Element) -> Head:
        """A head of this key, with its base."""
        return _head(element, self.heads[element[:2]].base if self.only is None else self.base)

    def forget_base(self, element: _Element) -> None:
        self.base = None
        if self.only is None:
            self.heads[element[:2]] = _Standing(element, None)


def _head(element: _Element, base: _Element | None) -> Head:
    return Head(*element) if base is None or base.kind == DELETED else Head(*element, base.content, base.kind)


class _Trail:
    """Which register each element of one client belongs to, as runs: a run begins at ``starts[i]``."""

    __slots__ = ("end", "numbers", "starts")

    def __init__(self) -> None:
        self.starts = array("I")
        self.numbers = array("i")
        self.end: Clock = 0

    def add(self, clock: Clock, end: Clock, number: int) -> None:
        if self.end != clock:
            self.starts.append(self.end)
            self.numbers.append(_NOBODY)
        if self.end != clock or not self.numbers or self.numbers[-1] != number:
            self.starts.append(clock)
            self.numbers.append(number)
        self.end = end

    def number(self, clock: Clock) -> int:
        return self.numbers[bisect_right(self.starts, clock) - 1] if clock < self.end else _NOBODY

    def touched(self, start: Clock, end: Clock) -> Iterable[int]:
        """The registers of the elements from ``start`` to ``end``."""
        if start >= self.end:
            return ()
        if end - start == 1:
            return (self.number(start),)
        first = bisect_right(self.starts, start) - 1
        last = bisect_right(self.starts, end - 1)
        return self.numbers[max(first, 0) : last]


class ForkIndex:
    """The heads of every key of some root maps. Feed it each update that the gate admits, in that order.

    8 to 16 bytes for each element that was ever written there, and about 400 for each key; of a key that was rewritten
    the last two values are kept."""

    __slots__ = ("_forked", "_names", "_registers", "_trails")

    def __init__(self, roots: Iterable[str]) -> None:
        self._names: dict[str, dict[str, int]] = {root: {} for root in roots}
        self._registers: list[_Register] = []
        self._trails: dict[ClientId, _Trail] = {}
        self._forked: dict[str, dict[str, _Register]] = {root: {} for root in self._names}

    @classmethod
    def of_state(cls, roots: Iterable[str], state: bytes, limits: Limits = DEFAULT_LIMITS) -> ForkIndex:
        """The index of a whole document. Same heads as if it had been fed each update; what was overwritten or lost
        and then collected has no value any more."""
        stored = limits.for_stored()
        update = decode_update(state, stored)
        index = cls(roots)
        index.feed(update, judge(update, Ledger(), stored), is_own_bytes=False)
        return index

    def heads(self, root: str, key: str) -> Sequence[Head]:
        """The heads of one key by rising id; none where it was never written."""
        number = self._names.get(root, {}).get(key)
        return () if number is None else self._registers[number].all_heads()

    def forked(self, root: str) -> Mapping[str, Sequence[Head]]:
        """All keys of a root that have several heads, by rising key."""
        forked = self._forked.get(root, {})
        return {key: forked[key].all_heads() for key in sorted(forked)}

    def feed(self, update: DecodedUpdate, verdict: Verdict, *, is_own_bytes: bool = True) -> Fed:
        """Take note of what the gate admitted. ``is_own_bytes`` says that these are the bytes of one transaction, as
        its writer made them: only they tell which deletes it had not seen. Feeding twice is feeding once."""
        forked: list[tuple[str, str]] = []
        overruled: list[Overruled] = []
        deletes = DeleteSet(update.deletes)
        for run in verdict.runs:
            client, structs = update.sections[run.section]
            if run.end - run.first != len(structs):
                structs = structs[run.first : run.end]
            for struct in structs:
                number = self._number(struct)
                if number == _NOBODY:
                    continue
                register = self._registers[number]
                was_deleted = register.is_deleted
                element = self._enter(update.raw, client, struct, number)
                if element is None:
                    continue
                if register.only is None:
                    forked.append((register.root, register.key))
                elif not was_deleted:
                    continue
                # Its writer may have seen a delete; who overwrites what is there deletes it in the same transaction.
                if is_own_bytes and struct.origin is not None and struct.origin in deletes:
                    if was_deleted:
                        overruled.append(Overruled(register.root, register.key, register.head(element)))
                elif is_own_bytes or was_deleted:
                    register.forget_base(element)
        if verdict.fresh is not None and verdict.fresh.deletes:
            self._note_deletes(verdict.fresh.deletes)
        return Fed(forked, overruled) if forked or overruled else NOTHING

    def _number(self, struct: Struct) -> int:
        """The register that a struct writes, or none."""
        parent = struct.parent
        if parent is None:
            neighbour = struct.origin or struct.right
            if neighbour is None:
                return _NOBODY
            trail = self._trails.get(neighbour[0])
            return _NOBODY if trail is None else trail.number(neighbour[1])
        key = struct.key
        if key is None or not isinstance(parent, str):
            return _NOBODY
        names = self._names.get(parent)
        if names is None:
            return _NOBODY
        number = names.get(key)
        if number is None:
            number = names[key] = len(self._registers)
            self._registers.append(_Register(parent, key))
        return number

    def _enter(self, raw: bytes, client: ClientId, struct: Struct, number: int) -> _Element | None:
        """Hang a struct into its register; a run of several elements is a chain, whose last one is the head."""
        trail = self._trails.get(client)
        if trail is None:
            trail = self._trails[client] = _Trail()
        clock, origin = struct.clock, struct.origin
        end = clock + struct.length
        if clock < trail.end:
            # Of a run that has grown since, the beginning is known.
            if end <= trail.end:
                return None
            clock = trail.end
            origin = (client, clock - 1)
        trail.add(clock, end, number)
        register = self._registers[number]
        element: _Element = tuple.__new__(_Element, (client, end - 1, struct.kind, raw[struct.content : struct.end]))
        before = None
        if end - clock > 1:
            # Collected, it is not known; pages that collect nothing send what they overwrote in one run.
            content = last_but_one(raw, struct)
            before = _Element(client, end - 2, DELETED if content is None else ANY, content or b"")
        register.take(origin, element, before)
        if register.only is None:
            self._forked[register.root][register.key] = register
        return element

    def _note_deletes(self, deletes: Deletes) -> None:
        """Mark the keys whose only head was deleted: an overwrite deletes what is no head any more."""
        for client, ranges in deletes.items():
            trail = self._trails.get(client)
            if trail is None:
                continue
            for start, end in ranges:
                for number in trail.touched(start, end):
                    if number != _NOBODY:
                        register = self._registers[number]
                        only = register.only
                        if only is not None and only.client == client and start <= only.clock < end:
                            register.is_deleted = True
