"""A ticket works once, soon, and for its own grant."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.errors import RateLimited
from server.auth.grants import CredentialRefused, DocumentPattern, Grant, Role
from server.auth.tickets import Tickets


def grant(subject: str = "till-1", expires_at_s: int = 10_000) -> Grant:
    return Grant(subject, "acme", (DocumentPattern("*"),), Role.OPERATOR, expires_at_s, "token-1")


def refusal(tickets: Tickets, ticket: str, now_s: float) -> str:
    with pytest.raises(CredentialRefused) as caught:
        tickets.redeem(ticket, now_s)
    assert ticket not in str(caught.value) or not ticket
    return str(caught.value)


def test_a_ticket_gives_its_grant_once() -> None:
    tickets = Tickets()
    ticket, other = tickets.issue(grant("a"), 0), tickets.issue(grant("b"), 0)
    assert tickets.redeem(ticket, 29.9) == grant("a")
    assert "used before" in refusal(tickets, ticket, 29.9)
    assert tickets.redeem(other, 29.9) == grant("b")


def test_a_ticket_expires_and_is_used_up_by_the_attempt() -> None:
    tickets = Tickets()
    ticket = tickets.issue(grant(), 0)
    assert "expired" in refusal(tickets, ticket, 30)
    assert "unknown" in refusal(tickets, ticket, 0)


def test_a_ticket_does_not_outlive_its_grant() -> None:
    tickets = Tickets()
    assert "expired" in refusal(tickets, tickets.issue(grant(expires_at_s=10), 0), 10)
    with pytest.raises(CredentialRefused, match="expired"):
        tickets.issue(grant(expires_at_s=10), 10)


def test_one_subject_can_not_use_up_everybodys_tickets() -> None:
    tickets = Tickets(tickets_per_subject_max=2)
    first = tickets.issue(grant("a"), 0)
    tickets.issue(grant("a"), 0)
    with pytest.raises(RateLimited) as caught:
        tickets.issue(grant("a"), 0)
    assert caught.value.retry_after_s == 30
    assert tickets.issue(grant("b"), 0)
    tickets.redeem(first, 1)
    assert tickets.issue(grant("a"), 1)


def test_the_number_of_tickets_is_bounded_and_expired_ones_make_room() -> None:
    tickets, subjects = Tickets(tickets_max=3), count()
    for _ in range(3):
        tickets.issue(grant(f"{next(subjects)}"), 0)
    with pytest.raises(RateLimited):
        tickets.issue(grant(f"{next(subjects)}"), 29)
    tickets.issue(grant(f"{next(subjects)}"), 30)
    assert len(tickets) == 1


def test_two_relays_do_not_know_each_others_tickets() -> None:
    assert "unknown" in refusal(Tickets(), Tickets().issue(grant(), 0), 0)


@given(st.text(max_size=30))
def test_any_other_text_is_no_ticket(text: str) -> None:
    tickets = Tickets()
    tickets.issue(grant(), 0)
    with pytest.raises(CredentialRefused):
        tickets.redeem(text, 0)
    assert len(tickets) == 1
