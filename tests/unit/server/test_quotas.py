"""Who is counted where, and that a count always comes back to nothing."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.errors import LimitExceeded, RateLimited
from crdt_sync.limits import Limits
from server.auth.grants import RELAY_SUBJECT, DocumentPattern, Grant, Role
from server.telemetry.meters import Meters
from server.web.quotas import SHARES_KEPT_MIN, Pace, Quotas, Share, Shares, address_of


def grant_of(subject: str, tenant: str = "acme") -> Grant:
    return Grant(
        subject=subject,
        tenant=tenant,
        documents=(DocumentPattern("*"),),
        role=Role.OPERATOR,
        expires_at_s=2_000_000_000,
        token_id="t",
    )


def quotas_with(**limits: int) -> Quotas:
    return Quotas(Limits(**limits), Meters())


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("192.0.2.7", 80), "192.0.2.7"),
        (("::ffff:192.0.2.7", 80), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 80), "2001:db8:1:2::/64"),
        (("2001:db8:1:2:ffff::1", 80), "2001:db8:1:2::/64"),
        (("testclient", 80), "unknown"),
        (None, "unknown"),
    ],
)
def test_P32_an_address_is_what_one_client_has(client: tuple[str, int] | None, address: str) -> None:
    assert address_of({"client": client}) == address


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["acme", "beta"]), st.integers(0, 2)), max_size=40))
def test_P32_nobody_has_more_open_than_allowed_and_what_is_left_is_free_again(
    arrivals: list[tuple[int, str, int]],
) -> None:
    limits = {
        "user_connections_max": 2,
        "tenant_connections_max": 4,
        "address_connections_max": 5,
        "connections_max": 7,
    }
    quotas = quotas_with(**limits)
    admitted: list[tuple[str, str, str]] = []
    with ExitStack() as stack:
        for number, tenant, place in arrivals:
            who = (f"user-{number}", tenant, f"192.0.2.{place}")
            try:
                stack.enter_context(quotas.staying(who[2], grant_of(who[0], tenant)))
            except RateLimited:
                assert (
                    sum(other[:2] == who[:2] for other in admitted) == 2
                    or sum(other[1] == tenant for other in admitted) == 4
                    or sum(other[2] == who[2] for other in admitted) == 5
                    or len(admitted) == 7
                ), "refused for nothing"
            else:
                admitted.append(who)
                assert sum(other[:2] == who[:2] for other in admitted) <= 2
                assert sum(other[1] == tenant for other in admitted) <= 4
                assert sum(other[2] == who[2] for other in admitted) <= 5
                assert len(admitted) <= 7
    with ExitStack() as stack:
        for place in range(2):
            stack.enter_context(quotas.staying(f"192.0.2.{place}", grant_of("user-0")))


def test_P32_the_relays_own_steward_takes_nobodys_place() -> None:
    quotas = quotas_with(connections_max=1)
    with (
        quotas.staying("127.0.0.1", grant_of("ada")),
        quotas.staying("127.0.0.1", grant_of(RELAY_SUBJECT)),
        quotas.staying("127.0.0.1", grant_of(RELAY_SUBJECT, "beta")),
        pytest.raises(RateLimited),
        quotas.staying("127.0.0.1", grant_of("bob")),
    ):
        raise AssertionError("one too many came in")


def test_P32_a_stranger_that_leaves_or_is_vouched_for_makes_room_for_the_next() -> None:
    quotas = quotas_with(strangers_max=1, user_connections_max=1)
    with quotas.staying("192.0.2.1", None) as first:
        with pytest.raises(RateLimited), quotas.staying("192.0.2.2", None):
            raise AssertionError("one too many came in")
        first.vouch(grant_of("ada"))
        first.vouch(grant_of("ada"))
        with quotas.staying("192.0.2.2", None) as second, pytest.raises(RateLimited):
            second.vouch(grant_of("ada"))
    with quotas.staying("192.0.2.2", None) as third:
        third.vouch(grant_of("ada"))


def test_P32_wrong_tokens_are_counted_within_a_connection_and_by_address() -> None:
    quotas = quotas_with(wrong_tokens_per_s=1, burst_s=4, connection_wrong_tokens_max=2)
    with quotas.staying("192.0.2.1", None) as stay:
        stay.note_wrong_token()
        stay.note_wrong_token()
        with pytest.raises(LimitExceeded):
            stay.note_wrong_token()
    quotas.note_wrong_token("192.0.2.1")
    quotas.note_wrong_token("192.0.2.1")
    with pytest.raises(RateLimited) as caught:
        quotas.note_wrong_token("192.0.2.1")
    assert 0 < caught.value.retry_after_s <= 1
    quotas.note_wrong_token("192.0.2.2")


async def test_P32_what_was_paid_in_advance_and_not_used_goes_back_to_the_user() -> None:
    quotas = quotas_with(user_messages_per_s=100, connection_messages_per_s=1_000, burst_s=1)
    user = quotas.user(grant_of("ada"))
    for _ in range(100):
        # Twenty-five are paid for each time, and one is used.
        with quotas.staying("192.0.2.1", grant_of("ada")) as stay:
            assert not stay.pace.covers(1)
            await stay.pace.pay()
    assert user.buckets[0].take(0, 0.0) == 0.0


async def test_P32_between_two_payments_a_message_costs_no_wait() -> None:
    pace = Pace(quotas_with())
    assert not pace.covers(10)
    await pace.pay()
    covered = 0
    while pace.covers(10):
        covered += 1
    assert covered == 32


def test_shares_of_nobody_are_forgotten_and_those_in_use_are_not() -> None:
    quotas = quotas_with()
    shares: Shares[int] = Shares(lambda: Share(quotas.bucket(1)))
    shares.of(0).open = 1
    shares.of(1).buckets[0].take(1, 1e12)
    for key in range(2, SHARES_KEPT_MIN + 1):
        shares.of(key)
    assert len(shares) == 3
    assert shares.of(0).open == 1
