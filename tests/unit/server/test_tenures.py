"""What is open ends with its grant: by the wall clock, whatever it does, and by the access file (P30)."""

from __future__ import annotations

from pathlib import Path

import pytest

from crdt_sync.errors import MemberTooSlow, SyncError
from crdt_sync.limits import Limits
from server.auth.access import AccessBook
from server.auth.grants import CredentialRefused, DocumentPattern, Grant, Role
from server.auth.revocations import Revocation
from server.rooms.outbox import Basket
from server.web.tenures import RENEWAL_LEAD_S, Tenure, Tenures

NOW_S = 1_800_000_000.0
HOUR_S = 3_600


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


class Told:
    """Somebody whose tenure it is."""

    def __init__(self) -> None:
        self.ends: list[SyncError] = []
        self.asked = 0
        self.lost: list[str] = []

    def end(self, error: SyncError) -> None:
        self.ends.append(error)

    def ask(self) -> None:
        self.asked += 1

    def lose(self, document: str, error: SyncError) -> None:
        assert isinstance(error, CredentialRefused)
        self.lost.append(document)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(tmp_path: Path, clock: Clock) -> AccessBook:
    book = AccessBook(tmp_path, token_life_s=86_400, wall_s=clock)
    book.open()
    return book


@pytest.fixture
def tenures(book: AccessBook, clock: Clock) -> Tenures:
    return Tenures(book, wall_s=clock)


def grant(life_s: float = 600, subject: str = "shop") -> Grant:
    return Grant(subject, "acme", (DocumentPattern("*"),), Role.OPERATOR, int(NOW_S + life_s), "t1", int(NOW_S))


def test_P30_it_ends_once_when_the_grant_does(tenures: Tenures, clock: Clock) -> None:
    told = Told()
    tenure = tenures.begin(Tenure(grant(), None, told.end))
    clock.now_s = NOW_S + 599.9
    tenures.look()
    assert told.ends == []
    clock.now_s = NOW_S + 600
    for _ in range(3):
        tenures.look()
    assert [str(error) for error in told.ends] == ["the token has expired"]
    tenures.end(tenure)
    assert len(tenures) == 0


def test_P30_a_clock_that_was_behind_keeps_nobody_in(tenures: Tenures, clock: Clock) -> None:
    told = Told()
    clock.now_s = NOW_S - HOUR_S
    tenures.begin(Tenure(grant(), None, told.end))
    tenures.look()
    assert told.ends == []
    clock.now_s = NOW_S + 601
    tenures.look()
    assert len(told.ends) == 1


def test_P30_a_clock_that_was_ahead_throws_nobody_out_early(tenures: Tenures, clock: Clock) -> None:
    told = Told()
    clock.now_s = NOW_S + 590
    tenures.begin(Tenure(grant(), None, told.end))
    clock.now_s = NOW_S - HOUR_S
    for _ in range(HOUR_S // 60):
        clock.now_s += 60
        tenures.look()
    assert told.ends == []


def test_a_fresh_token_is_asked_for_once_and_renews(
    tenures: Tenures, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.web.tenures.time.time", clock)
    told = Told()
    tenure = tenures.begin(Tenure(grant(), "notes", told.end, ask=told.ask))
    clock.now_s = NOW_S + 600 - RENEWAL_LEAD_S
    for _ in range(3):
        tenures.look()
    assert (told.asked, told.ends) == (1, [])
    tenure.renew(grant(), clock())
    tenures.look()
    assert told.asked == 1, "the same token again is no reason to ask again"
    tenure.renew(grant(1_200), clock())
    clock.now_s = NOW_S + 1_000
    tenures.look()
    assert (told.asked, told.ends) == (1, [])
    clock.now_s = NOW_S + 1_200 - RENEWAL_LEAD_S
    tenures.look()
    assert (told.asked, told.ends) == (2, [])
    clock.now_s = NOW_S + 1_200
    tenures.look()
    assert len(told.ends) == 1


def test_P30_what_was_taken_back_ends_at_the_next_look_and_nothing_else_does(
    tenures: Tenures, book: AccessBook
) -> None:
    hit, missed, part, pages = Told(), Told(), Told(), Told()
    tenures.begin(Tenure(grant(), None, hit.end))
    tenures.begin(Tenure(grant(subject="ada"), None, missed.end))
    tenures.begin(Tenure(grant(subject="bob"), "pii/x", part.end))
    names = ["pii/x", "notes"]
    tenures.begin(Tenure(grant(subject="bob"), None, pages.end, documents=lambda: names, lose=pages.lose))
    book.add(Revocation("acme", int(NOW_S), user="shop"), by="test")
    book.add(Revocation("acme", int(NOW_S), user="bob", document=DocumentPattern("pii/*")), by="test")
    for _ in range(2):
        tenures.look()
    assert [len(told.ends) for told in (hit, missed, part, pages)] == [1, 0, 1, 0]
    assert isinstance(hit.ends[0], CredentialRefused)
    assert pages.lost == ["pii/x"]


def test_P30_what_the_door_has_read_is_acted_upon_too(tenures: Tenures, book: AccessBook) -> None:
    told = Told()
    tenures.begin(Tenure(grant(), None, told.end))
    book.add(Revocation("acme", int(NOW_S), user="shop"), by="test")
    assert book.look()
    tenures.look()
    assert len(told.ends) == 1


def test_P30_what_was_taken_back_while_it_was_let_in_ends_at_once(tenures: Tenures, book: AccessBook) -> None:
    book.add(Revocation("acme", int(NOW_S), user="shop"), by="test")
    book.look()
    told = Told()
    tenures.begin(Tenure(grant(), None, told.end))
    assert len(told.ends) == 1


async def test_nothing_is_queued_behind_the_end_of_a_connection() -> None:
    basket = Basket(Limits())
    basket.outbox.put(b"before")
    basket.outbox.end(MemberTooSlow("enough"))
    basket.outbox.put(b"behind")
    assert await basket.take() == (b"before",)
    assert await basket.take() == ()
