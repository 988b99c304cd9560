"""I10: what folds and open periods come to together is what a replay of every movement comes to."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.stock.reservations import HoldState
from tests.laws.periods_of_tills import CELLS, PERIODS, Tills

TILLS = 3
TILL = st.integers(0, TILLS - 1)
SEEK = settings(max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
KINDS = ["receive", "sell", "sell", "adjust", "give", "hold", "ship", "transfer", "request"]


class PeriodsMachine(RuleBasedStateMachine):
    """Three tills. The first closes periods, any of them folds, and each may still write where it has not heard."""

    def __init__(self) -> None:
        super().__init__()
        self.shops = Tills.open(TILLS)
        self.now = 0

    def period(self, lag: int) -> str:
        return PERIODS[max(self.now - lag, 0)]

    @initialize()
    def everybody_begins_with_goods(self) -> None:
        for till in range(TILLS):
            self.shops.act(till, PERIODS[0], lambda inventory: inventory.receive("shirt", 20, at="A"))

    @rule(
        till=TILL,
        lag=st.sampled_from([0, 0, 0, 1, 2]),
        kind=st.sampled_from(KINDS),
        cell=st.sampled_from(CELLS),
        quantity=st.integers(1, 9),
        other=TILL,
    )
    def act(self, till: int, lag: int, kind: str, cell: tuple[str, str], quantity: int, other: int) -> None:
        sku, place = cell
        elsewhere = "B" if place == "A" else "A"

        def do(inventory: InventoryDocument) -> None:
            match kind:
                case "receive":
                    inventory.receive(sku, quantity, at=place)
                case "sell":
                    inventory.sell(sku, quantity, at=place, short="back-order")
                case "adjust":
                    inventory.adjust(sku, -quantity, at=place)
                case "give":
                    inventory.give(sku, quantity, at=place, to=f"till-{(till + 1 + other) % (TILLS + 1)}")
                case "hold":
                    inventory.hold(sku, quantity, at=place, until_ms=0)
                case "ship":
                    inventory.ship(sku, quantity, source=place, to=elsewhere, recipient=f"till-{other}")
                case "transfer":
                    inventory.transfer(sku, quantity, source=place, to=elsewhere)
                case _:
                    inventory.request(sku, quantity, at=place)

        self.shops.act(till, self.period(lag), do)

    @rule(till=TILL, lag=st.integers(0, 1), how=st.sampled_from(["confirm", "release", "expire"]), which=st.integers(0))
    def end_a_hold(self, till: int, lag: int, how: str, which: int) -> None:
        def do(inventory: InventoryDocument) -> None:
            own = [one for one in inventory.holds(HoldState.OPEN) if one.movement.rid == f"till-{till}"]
            if own:
                getattr(inventory, how)(own[which % len(own)].movement.mid)

        self.shops.act(till, self.period(lag), do)

    @rule(till=TILL, lag=st.integers(0, 1), which=st.integers(0))
    def book_in(self, till: int, lag: int, which: int) -> None:
        def do(inventory: InventoryDocument) -> None:
            if sent := inventory.in_transit():
                inventory.arrive(sent[which % len(sent)].mid)

        self.shops.act(till, self.period(lag), do)

    @rule(till=TILL, which=st.integers(0))
    def serve(self, till: int, which: int) -> None:
        def do(inventory: InventoryDocument) -> None:
            if owed := inventory.back_orders():
                one = owed[which % len(owed)]
                inventory.sell(one.sku, one.quantity, at=one.location, ref=one.mid)

        self.shops.act(till, self.period(0), do)

    @rule(till=TILL)
    def answer(self, till: int) -> None:
        self.shops.act(till, self.period(0), lambda inventory: inventory.answer_requests())

    @rule(till=TILL, lag=st.integers(0, 1), cell=st.sampled_from(CELLS), difference=st.integers(-3, 3))
    def count(self, till: int, lag: int, cell: tuple[str, str], difference: int) -> None:
        sku, place = cell
        self.shops.act(
            till,
            self.period(lag),
            lambda inventory: inventory.count(sku, max(inventory.on_hand(sku, place) + difference, 0), at=place),
        )

    @rule(to=TILL, source=TILL, document=st.sampled_from(["catalog", "catalog", *PERIODS]))
    def pull(self, to: int, source: int, document: str) -> None:
        self.shops.tills[to].pull(self.shops.tills[source], document)

    @rule(to=TILL, source=TILL)
    def pull_all(self, to: int, source: int) -> None:
        for document in ("catalog", *PERIODS):
            self.shops.tills[to].pull(self.shops.tills[source], document)

    @precondition(lambda self: self.now + 1 < len(PERIODS))
    @rule(heard_of=st.sets(TILL))
    def a_period_ends_and_is_folded(self, heard_of: set[int]) -> None:
        """By the first till, with what it has heard of; what the others have not told yet comes late."""
        self.now += 1
        for source in heard_of:
            self.pull_all(0, source)
        for period in PERIODS[: self.now]:
            self.shops.close(period)
        for _ in range(2 * self.now):
            self.shops.fold(0)

    @precondition(lambda self: self.now > 0)
    @rule(back=st.integers(1, 2))
    def close(self, back: int) -> None:
        if back <= self.now:
            self.shops.close(PERIODS[self.now - back])

    @rule(till=TILL)
    def fold(self, till: int) -> None:
        self.shops.fold(till)

    @rule(till=TILL)
    def rehome_all(self, till: int) -> None:
        self.shops.rehome_all(till, self.period(0))

    @rule(till=TILL)
    def restart(self, till: int) -> None:
        self.shops.tills[till].put_settled_away()

    @invariant()
    def every_till_knows_what_a_replay_says(self) -> None:
        for till in self.shops.tills:
            self.shops.check(till)

    @invariant()
    def nobody_has_oversold(self) -> None:
        self.shops.check_escrow()

    def teardown(self) -> None:
        self.shops.meet()
        for period in PERIODS[: self.now]:
            self.shops.close(period)
        self.shops.meet()
        while self.shops.fold(0) is not None:
            pass
        self.shops.rehome_all(0, PERIODS[self.now])
        self.shops.meet()
        for till in self.shops.tills:
            till.put_settled_away()
            self.shops.check(till)
            assert till.read().stock_table() == self.shops.tills[0].read().stock_table()


def test_I10_folds_and_open_periods_come_to_what_a_full_replay_comes_to() -> None:
    run_state_machine_as_test(PeriodsMachine, settings=SEEK)


WORLDS, WORLD_STEPS = 4, 150


def play(seed: int, check_every: int = 3) -> PeriodsMachine:
    """One long history: periods end and are folded while others still write into them."""
    random, world = Random(seed), PeriodsMachine()
    world.everybody_begins_with_goods()
    for number in range(WORLD_STEPS):
        till, which, lag = random.randrange(TILLS), random.randrange(100), random.randint(0, 1)
        match random.randrange(16):
            case 0 | 1 | 2 | 3:
                other, quantity = random.randrange(TILLS), random.randint(1, 9)
                world.act(till, random.randint(0, 2), random.choice(KINDS), random.choice(CELLS), quantity, other)
            case 4:
                world.end_a_hold(till, lag, random.choice(["confirm", "release", "expire"]), which)
            case 5:
                world.book_in(till, lag, which)
            case 6:
                random.choice([world.answer, world.restart])(till)
            case 7:
                world.serve(till, which)
            case 8:
                world.count(till, lag, random.choice(CELLS), random.randint(-3, 3))
            case 9 | 10:
                world.pull(till, random.randrange(TILLS), random.choice(["catalog", *PERIODS]))
            case 11 | 12:
                world.pull_all(till, random.randrange(TILLS))
            case 13:
                world.fold(till)
            case 14 if world.now + 1 < len(PERIODS) and number > (world.now + 1) * WORLD_STEPS // (len(PERIODS) + 2):
                world.a_period_ends_and_is_folded({one for one in range(1, TILLS) if random.random() < 0.6})
            case 15:
                world.rehome_all(till)
        if number % check_every == 0:
            world.every_till_knows_what_a_replay_says()
            world.nobody_has_oversold()
    world.teardown()
    return world


@pytest.mark.parametrize("seed", range(WORLDS))
def test_I10_holds_through_long_histories_with_late_movements(seed: int) -> None:
    assert play(seed).shops.folds
