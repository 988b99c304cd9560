"""Stock: what an edit does to it, within the rights of its replica where a cell is under escrow."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

from crdt_sync.documents.keys import check_name, nfc
from crdt_sync.documents.roots import Value
from crdt_sync.documents.schema import INT_MAX, check_delta, check_quantity
from crdt_sync.documents.stock import movements
from crdt_sync.documents.stock.escrow import NOBODY, Policy, Rights
from crdt_sync.documents.stock.movement_log import MovementLog
from crdt_sync.documents.stock.movements import Cell, Movement
from crdt_sync.documents.stock.oversell import Oversell
from crdt_sync.documents.stock.reservations import Hold, HoldState
from crdt_sync.documents.stock.stock_index import StockIndex
from crdt_sync.errors import HoldEnded, InsufficientRights, InvalidName, InvalidValue, NotTheHolder, QuantityOutOfRange

Short = Literal["refuse", "back-order", "allow"]


class Stock(MovementLog):
    """The stock part of an :class:`~crdt_sync.documents.inventory.InventoryDocument`."""

    @abstractmethod
    def policy(self, sku: str, at: str) -> Policy: ...

    # Moving goods

    def receive(self, sku: str, quantity: int, *, at: str, ref: str | None = None) -> str:
        """Goods came in from outside; this replica has the rights to them. Returns the movement's id.

        Like all that move stock it raises :class:`UnknownProduct`, :class:`UnknownLocation`,
        :class:`QuantityOutOfRange`, :class:`PeriodClosed`, :class:`SchemaTooNew` and :class:`InvalidName`. What takes
        stock away also raises, in a cell under escrow, :class:`InsufficientRights` and :class:`PeriodsMissing`."""
        return self._record(movements.RECEIVE, sku, at, check_quantity(quantity), ref)

    def sell(
        self,
        sku: str,
        quantity: int,
        *,
        at: str,
        ref: str | None = None,
        hold: str | None = None,
        short: Short | None = None,
    ) -> str:
        """Goods were sold. Returns the movement's id.

        Without escrow stock may go below zero: what was sold was sold, and :meth:`oversold` tells. Under escrow a sale
        beyond this replica's rights is refused, recorded as a back-order, or recorded and flagged, as ``short`` says,
        else the cell's policy; :meth:`request` asks others for more rights. With ``hold`` it confirms this hold of the
        same goods, and needs no more of them."""
        units = check_quantity(quantity)
        cell = self._cell(sku, at)
        if short is not None and short not in ("refuse", "back-order", "allow"):
            raise InvalidValue(f"short: {short!r} is none of refuse, back-order and allow")
        if hold is not None:
            held = self._hold(hold)
            if ((held.sku, held.location), held.quantity) != (cell, units):
                raise InvalidValue(f"hold {hold} keeps {held.quantity} of {held.sku!r} at {held.location!r}")
            return self.confirm(hold)
        policy = self.policy(*cell)
        if policy is Policy.OFF or self._rights_for(cell) >= units:
            return self._record(movements.SALE, sku, at, units, ref)
        match Policy(short or policy):
            case Policy.BACK_ORDER:
                return self._record(movements.BACKORDER, sku, at, units, ref)
            case Policy.ALLOW:
                return self._record(movements.SALE, sku, at, units, ref, {"x": 1})
            case _:
                raise InsufficientRights(self._rights_for(cell), units)

    def adjust(self, sku: str, delta: int, *, at: str, ref: str | None = None) -> str:
        """Correct the stock by a signed quantity: breakage, finds, returns. Returns the movement's id."""
        checked = check_delta(delta)
        self._need(self._cell(sku, at), -checked)
        return self._record(movements.ADJUST, sku, at, checked, ref)

    def transfer(self, sku: str, quantity: int, *, source: str, to: str, ref: str | None = None) -> tuple[str, str]:
        """Move goods between locations at once: a shipment and its arrival in one edit. Returns both ids."""
        destination = self._known_location(to)
        shipment = self.ship(sku, quantity, source=source, to=destination, ref=ref)
        return shipment, self._record(movements.ARRIVE, sku, destination, quantity, shipment)

    def ship(
        self, sku: str, quantity: int, *, source: str, to: str, ref: str | None = None, recipient: str | None = None
    ) -> str:
        """Send goods off to another location; until they arrive they are in no stock. Returns the shipment's id.

        On arrival the replica ``recipient`` gets the rights to them (this one, where none is named), whoever books them
        in. Raises :class:`InvalidValue` when source and destination are one."""
        destination = self._known_location(to)
        if destination == self._known_location(source):
            raise InvalidValue(f"goods can't be sent from {source!r} to itself")
        units = check_quantity(quantity)
        ext: dict[str, Value] = {"to": destination}
        if recipient is not None:
            ext["for"] = check_name("replica", recipient)
        self._need(self._cell(sku, source), units)
        return self._record(movements.SHIP, sku, source, units, ref, ext)

    def arrive(self, shipment: str) -> str:
        """Book a shipment in at its destination. Booked twice, by whomever, it counts once. Returns the movement's id.

        Raises :class:`InvalidName` when no document here holds this shipment."""
        sent = self._find_counting(check_name("shipment", shipment))
        if sent is None or sent.destination is None:
            raise InvalidName("shipment", shipment, "the id of a shipment in this period or its history")
        # An arrival is later than its shipment, also where this machine's clock lags.
        self._clock.receive(sent.stamp, self._now_ms())
        return self._record(movements.ARRIVE, sent.sku, sent.destination, sent.quantity, shipment)

    def count(self, sku: str, counted: int, *, at: str, ref: str | None = None) -> str:
        """A stock-take: so many units are there, those that open holds keep back included. Returns the movement's id.

        Of concurrent stock-takes the latest counts; :meth:`idle_counts` lists the others. Under escrow what is missing
        is taken from this replica's rights, and what is found beyond the books is unassigned, see :meth:`reclaim`."""
        if type(counted) is not int or not 0 <= counted <= INT_MAX:
            raise QuantityOutOfRange(counted, "a stock-take finds a whole number from 0 to 2**53 - 1")
        cell = self._cell(sku, at)
        index = self._stock_index()
        delta = counted - index.stock(cell) - index.held(cell)
        self._need(cell, -delta)
        if not self._clock.receive(index.latest_stamp(cell), self._now_ms()):
            raise InvalidValue(f"the latest movement of {sku!r} at {at!r} is stamped by a clock over 60 s ahead")
        return self._record(movements.COUNT, sku, at, delta, ref, {"counted": counted, "prev": index.last_count(cell)})

    # Holds

    def hold(self, sku: str, quantity: int, *, at: str, until_ms: int | None = None, ref: str | None = None) -> str:
        """Keep goods back: they leave the stock until this replica confirms, releases or expires the hold, whose id is
        returned. ``until_ms`` (Unix milliseconds) is when it may expire; no clock ends a hold by itself."""
        units = check_quantity(quantity)
        if until_ms is not None and (type(until_ms) is not int or not 0 <= until_ms <= INT_MAX):
            raise InvalidValue(f"until_ms: {until_ms!r} is no time: whole Unix milliseconds are")
        self._need(self._cell(sku, at), units)
        return self._record(movements.HOLD, sku, at, units, ref, None if until_ms is None else {"until": until_ms})

    def confirm(self, hold: str) -> str:
        """What was held is sold. Returns the id of the movement that says so; again, it writes nothing.

        All ends of holds raise :class:`InvalidName` for an unknown hold, :class:`NotTheHolder`, :class:`HoldEnded`."""
        return self._end(movements.CONFIRM, self._hold(hold), HoldState.CONFIRMED)

    def release(self, hold: str) -> str:
        """Give back what was held; as :meth:`confirm`."""
        return self._end(movements.RELEASE, self._hold(hold), HoldState.RELEASED)

    def expire(self, hold: str) -> str:
        """Give back what was held for too long; as :meth:`confirm`. Raises :class:`InvalidValue` before its time."""
        held = self._hold(hold)
        until_ms = Hold(held, HoldState.OPEN, None).until_ms
        if until_ms is None or self._now_ms() < until_ms:
            raise InvalidValue(f"hold {hold} does not expire yet")
        return self._end(movements.EXPIRE, held, HoldState.EXPIRED)

    def holds(self, state: HoldState | None = None) -> list[Hold]:
        """Every hold, or those in one state, in the order in which they were made. Of folded periods only open ones."""
        index = self._stock_index()
        listed = [Hold(movement, *index.hold_state(movement.mid)) for movement in self._of_kind(movements.HOLD)]
        return [hold for hold in listed if state is None or hold.state == state]

    # Rights

    def rights(self, sku: str, at: str) -> Rights:
        """How the stock of a cell is divided among replicas."""
        return self._stock_index().rights((nfc(sku), nfc(at)))

    def give(self, sku: str, quantity: int, *, at: str, to: str, ref: str | None = None) -> str:
        """Hand rights of this replica over to another one, which has them as soon as it sees this movement.

        Raises :class:`InsufficientRights`, also in a cell without escrow, and :class:`PeriodsMissing`."""
        units, cell, receiver = check_quantity(quantity), self._cell(sku, at), check_name("replica", to)
        if receiver == self._rid:
            raise InvalidValue(f"{receiver!r} can't hand rights over to itself")
        if self._rights_for(cell) < units:
            raise InsufficientRights(self._rights_for(cell), units)
        return self._record(movements.GIVE, sku, at, units, ref, {"to": receiver})

    def reclaim(self, sku: str, quantity: int, *, at: str, of: str | None = None, ref: str | None = None) -> str:
        """Take over rights of a replica that will never return, or, with None, rights that nobody has.

        Not safe by itself, and so done by itself only where a rule says after how long a silence: if that replica did
        sell, or two reclaim at once, rights below zero show it. Let one replica per tenant do it, after the device is
        known to be lost.
        Raises :class:`InsufficientRights` beyond what can be seen of them, and :class:`PeriodsMissing`."""
        units, cell = check_quantity(quantity), self._cell(sku, at)
        lost = NOBODY if of is None else check_name("replica", of)
        if lost == self._rid:
            raise InvalidValue(f"{lost!r} has its own rights already")
        self._check_whole()
        seen = self._stock_index().rights(cell)
        have = seen.unassigned if of is None else seen.of.get(lost, 0)
        if have < units:
            raise InsufficientRights(max(have, 0), units)
        self._catch_up(cell)
        return self._record(movements.GIVE, sku, at, units, ref, {"from": lost, "to": self._rid})

    # Reading

    def stock(self, sku: str, at: str) -> int:
        """How many of a product are at a location and not held; 0 where nothing ever moved. The first look reads the
        whole log, the next ones only what is new."""
        return self._stock_index().stock((nfc(sku), nfc(at)))

    def on_hand(self, sku: str, at: str) -> int:
        """How many of a product are at a location, those that open holds keep back included."""
        index, cell = self._stock_index(), (nfc(sku), nfc(at))
        return index.stock(cell) + index.held(cell)

    def stock_table(self) -> dict[Cell, int]:
        """Stock of every (product, location) that anything ever moved in, in one pass."""
        return self._stock_index().table()

    def oversold(self) -> list[Oversell]:
        """The movements that took a cell below zero, each once, by product and location.

        Derived, so all that have the same movements list the same; late movements may move or dissolve one."""
        index = self._stock_index()
        return [found for cell in sorted(index.cells()) for found in index.oversold(cell)]

    def overdrawn(self) -> dict[tuple[str, str, str], int]:
        """Every (product, location, replica) under escrow whose rights are below zero; see :attr:`Rights.overdrawn`."""
        index = self._stock_index()
        return {
            (*cell, rid): units
            for cell in sorted(index.cells())
            if self.policy(*cell) is not Policy.OFF
            for rid, units in index.rights(cell).overdrawn.items()
        }

    def back_orders(self) -> list[Movement]:
        """What was sold and could not be taken, until a sale names the back-order's id as its ``ref``."""
        folds, sales = self._folds(), self._stock_index().rows_of(movements.SALE)
        served = {row[6] for row in sales.values() if len(row) > 6}
        owed = [movement for movement in self._of_kind(movements.BACKORDER) if movement.mid not in served]
        return [movement for movement in owed if not folds.is_done_with(movement.mid)]

    def idle_counts(self) -> list[Movement]:
        """Stock-takes that do not count, because a later one was made without seeing them. Somebody should look."""
        idle = set(self._stock_index().idle_counts())
        return [movement for movement in self._of_kind(movements.COUNT) if movement.mid in idle]

    def unknown_kinds(self) -> dict[str, int]:
        """Kinds of movements that this version does not count, with how many there are: written by a later one."""
        return dict(self._stock_index().unknown)

    # Inside

    def _cell(self, sku: str, at: str) -> Cell:
        return self._known_product(sku), self._known_location(at)

    def _rights_for(self, cell: Cell) -> int:
        self._check_whole()
        self._catch_up(cell)
        return max(self._stock_index().rights_of(self._rid, cell), 0)

    def _need(self, cell: Cell, units: int) -> None:
        if units > 0 and self.policy(*cell) is not Policy.OFF and (have := self._rights_for(cell)) < units:
            raise InsufficientRights(have, units)

    def _catch_up(self, cell: Cell) -> StockIndex:
        # What spends rights is later than what gave them, so that in the order of stamps no balance dips below zero.
        index = self._stock_index()
        self._clock.receive(index.latest_stamp(cell), self._now_ms())
        return index

    def _hold(self, hold: str) -> Movement:
        held = self._find_counting(check_name("hold", hold))
        if held is None or held.kind != movements.HOLD:
            raise InvalidName("hold", hold, "the id of a hold in this period or its history")
        if held.rid != self._rid:
            raise NotTheHolder(hold, held.rid)
        return held

    def _end(self, kind: str, held: Movement, state: HoldState) -> str:
        # An end in a period that is not here would pass unseen, and the goods would be sold and given back.
        # A day sorts after its month.
        self._check_whole(since=held.period[: len("2026-11")])
        index = self._catch_up((held.sku, held.location))
        actual, ended_by = index.hold_state(held.mid)
        if ended_by is not None:
            if actual == state:
                return ended_by
            raise HoldEnded(held.mid, actual)
        # A hold can be ended also when its product was removed from the catalog since.
        return self._append(kind, held.sku, held.location, held.quantity, held.mid, {})
