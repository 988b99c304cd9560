"""I4 with rights by demand: asking and answering, in any order and at once, never oversells nor takes too much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyFailure
from hypothesis.stateful import rule, run_state_machine_as_test

from crdt_sync.documents.stock import allotment, sharing
from crdt_sync.documents.stock.allotment import POOL, Request, allot
from tests.laws.shops import Shops, catalog_under_escrow, check_escrow, view_of
from tests.laws.test_documents_escrow import HUNT, PLACE, SEEK, TILL, EscrowMachine

KEEP = st.sampled_from([0, 50, 90, 100])


class DemandMachine(EscrowMachine):
    """The four tills also ask for rights, and answer each other whenever they like, on whatever they have heard."""

    @rule(till=TILL, place=PLACE, quantity=st.integers(1, 20))
    def ask(self, till: int, place: str, quantity: int) -> None:
        with self.shops.tills[till].edit() as docs:
            docs.inventory.request("shirt", quantity, at=place)

    @rule(till=TILL)
    def answer(self, till: int) -> None:
        replica = self.shops.tills[till]
        rights = {cell: replica.inventory.rights(*cell).of.get(replica.rid, 0) for cell in view_of(replica).cells()}
        given_before = answers_by(replica.rid, view_of(replica).requests())
        keep = replica.inventory.rules().rights_keep_percent
        with replica.edit() as docs:
            docs.inventory.answer_requests()
        for cell, had in rights.items():
            has = replica.inventory.rights(*cell).of.get(replica.rid, 0)
            kept = -(-(had + given_before.get(cell, 0)) * keep // 100)
            assert has >= min(had, kept), f"{replica.rid} keeps {has} of {had}, and should keep {kept}"

    @rule(keep=KEEP)
    def decide_how_much_is_kept(self, keep: int) -> None:
        with self.shops.tills[0].edit() as docs:
            docs.inventory.set_rule("rights/keep", keep)


def answers_by(rid: str, requests: Sequence[Request]) -> dict[tuple[str, str], int]:
    """What a replica has given for the requests that are open, by cell."""
    given: dict[tuple[str, str], int] = {}
    for request in requests:
        given[request.cell] = given.get(request.cell, 0) + request.answers.get(rid, 0)
    return given


def test_I4_requests_and_answers_never_take_rights_below_zero_nor_below_what_is_kept() -> None:
    run_state_machine_as_test(DemandMachine, settings=SEEK)


def spares_what_it_has_not(_rid: str, _have: int, _given: int, _keep: int) -> int:
    return 6


def forgets_what_it_gave(rid: str, have: int, _given: int, keep: int) -> int:
    return max(have if rid == POOL else have - -(-have * keep // 100), 0)


def answers_for_all(
    requests: Sequence[Request], rights: Mapping[str, int], givers: set[str], keep: int
) -> list[tuple[Request, Mapping[str, int]]]:
    plan = allot(requests, rights, givers, keep)
    return [(request, dict.fromkeys(givers, sum(parts.values()))) for request, parts in plan]


def an_afternoon() -> None:
    """Two tills with ten units each hear of one request for more than they have, and look twice."""
    shops = Shops.open(3, catalog_under_escrow())
    for till in (0, 1):
        shops.act(till, "receive", "A", 10, till)
    with shops.tills[2].edit() as docs:
        docs.inventory.request("shirt", 50, at="A")
    shops.meet()
    for till in (0, 1, 0, 1):
        with shops.tills[till].edit() as docs:
            docs.inventory.answer_requests()
        check_escrow(shops.tills[till])
    shops.meet()
    assert shops.tills[2].inventory.rights("shirt", "A").of == {"till-0": 5, "till-1": 5, "till-2": 10}


MUTANTS: dict[str, tuple[Any, str, object]] = {
    "a replica hands over rights that it does not have": (allotment, "_spare", spares_what_it_has_not),
    "a replica that is asked again keeps half of its half": (allotment, "_spare", forgets_what_it_gave),
    "a replica hands over the parts of all others, too": (sharing, "allot", answers_for_all),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_I4_by_demand_kills(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    an_afternoon()
    owner, name, planted = MUTANTS[mutant]
    monkeypatch.setattr(owner, name, planted)
    with pytest.raises(AssertionError):
        an_afternoon()


def test_I4_kills_a_till_that_hands_over_what_it_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allotment, "_spare", spares_what_it_has_not)
    # Client ids are drawn anew for every run, so a failing one may not fail again.
    with pytest.raises((AssertionError, FlakyFailure)):
        run_state_machine_as_test(DemandMachine, settings=HUNT)


RIDS = ("relay", "till-1", "till-2", "till-3", "till-4")


@st.composite
def asked(draw: st.DrawFn) -> list[Request]:
    """Requests of one cell, one of each replica, the oldest first."""
    asking = draw(st.lists(st.sampled_from(RIDS[1:]), unique=True, max_size=3))
    requests = []
    for number, rid in enumerate(asking):
        quantity = draw(st.integers(1, 40))
        answered = draw(st.dictionaries(st.sampled_from(RIDS), st.integers(1, 40), max_size=2))
        answers = {
            giver: units for giver, units in answered.items() if giver != rid and sum(answered.values()) < quantity
        }
        requests.append(Request(f"a.{number}", "shirt", "A", rid, quantity, number, answers))
    return requests


@settings(max_examples=300, deadline=None)
@given(
    asked(),
    st.dictionaries(st.sampled_from(RIDS), st.integers(-5, 40)),
    st.sets(st.sampled_from(RIDS)),
    st.integers(0, 100),
    st.randoms(use_true_random=False),
)
def test_a_plan_is_the_same_for_all_and_gives_nobody_too_much(
    requests: list[Request], rights: dict[str, int], givers: set[str], keep: int, random: Any
) -> None:
    plan = allot(requests, rights, givers, keep)
    shuffled = list(rights.items())
    random.shuffle(shuffled)
    assert allot(requests, dict(shuffled), sorted(givers, reverse=True), keep) == plan
    total = dict.fromkeys(RIDS, 0)
    is_exhausted = False
    for request, parts in plan:
        assert sum(parts.values()) <= request.missing
        assert all(units > 0 for units in parts.values())
        assert not (is_exhausted and parts), "a younger request got what an older one still needs"
        is_exhausted = sum(parts.values()) < request.missing
        for rid, units in parts.items():
            total[rid] += units
    for rid, units in total.items():
        if units == 0:
            continue
        assert rid in givers
        assert rid not in {request.rid for request in requests}
        before = sum(request.answers.get(rid, 0) for request in requests)
        kept = 0 if rid == POOL else -(-(rights[rid] + before) * keep // 100)
        assert rights[rid] - units >= kept
