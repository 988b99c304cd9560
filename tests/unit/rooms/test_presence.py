"""Who is in a room, as its members tell. Rule P11: presence goes with its connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.limits import DEFAULT_LIMITS, Limits
from crdt_sync.protocol.messages import Presence, PresenceEntry
from server.rooms.presence import REMEMBER_S, Roster

ADA, BOB = 7, 8


def entry(client: int, clock: int, state: str | None = "{}") -> PresenceEntry:
    return PresenceEntry(client, clock, state)


def presence(*entries: PresenceEntry) -> Presence:
    return Presence(entries)


@pytest.fixture
def roster() -> Roster:
    return Roster(DEFAULT_LIMITS)


def hear(roster: Roster, member: int, *entries: PresenceEntry, author: str = "", now_s: float = 0.0) -> Presence:
    return roster.hear(member, author or f"user-{member}", Presence(entries), now_s=now_s)


def test_who_announces_itself_is_here_and_news_to_others(roster: Roster) -> None:
    here = entry(ADA, 0, '{"name": "Ada"}')
    assert hear(roster, 1, here) == presence(here)
    assert roster.everyone() == presence(here)


def test_what_was_said_before_is_no_news(roster: Roster) -> None:
    hear(roster, 1, entry(ADA, 5))
    assert hear(roster, 1, entry(ADA, 5), entry(ADA, 4)) == presence()


def test_an_echo_of_somebody_elses_presence_changes_nothing(roster: Roster) -> None:
    hear(roster, 1, entry(ADA, 5))
    assert hear(roster, 2, entry(ADA, 5), entry(ADA, 9), entry(ADA, 5, None)) == presence()
    assert roster.everyone() == presence(entry(ADA, 5))


def test_P11_all_that_a_connection_brought_goes_with_it(roster: Roster) -> None:
    hear(roster, 1, entry(ADA, 5), entry(9, 2))
    hear(roster, 2, entry(BOB, 1))
    assert roster.leave(1, now_s=1) == presence(entry(ADA, 5, None), entry(9, 2, None))
    assert roster.everyone() == presence(entry(BOB, 1))
    assert roster.leave(1, now_s=2) == presence()


def test_a_farewell_is_said_at_the_clock_that_y_protocols_takes_for_one(roster: Roster) -> None:
    hear(roster, 1, entry(ADA, 5))
    assert hear(roster, 1, entry(ADA, 5, None)) == presence(entry(ADA, 5, None))
    assert roster.everyone() == presence()


def test_who_reconnects_is_seen_again_at_its_next_clock(roster: Roster) -> None:
    hear(roster, 1, entry(ADA, 5), author="ada")
    roster.leave(1, now_s=1)
    assert hear(roster, 2, entry(ADA, 6), author="ada", now_s=2) == presence(entry(ADA, 6))


def test_P33_nobody_takes_the_id_of_one_that_has_only_just_left(roster: Roster) -> None:
    hear(roster, 1, entry(ADA, 5), author="ada")
    roster.leave(1, now_s=1)
    assert hear(roster, 2, entry(ADA, 6), author="mallory", now_s=2) == presence()
    assert roster.announcer(ADA) is None
    assert hear(roster, 3, entry(ADA, 6), author="ada", now_s=3) == presence(entry(ADA, 6))
    assert roster.announcer(ADA) == "ada"


def test_who_reconnects_before_its_old_socket_is_missed_takes_its_place(roster: Roster) -> None:
    hear(roster, 1, entry(ADA, 5), author="ada")
    assert hear(roster, 2, entry(ADA, 6), author="ada") == presence(entry(ADA, 6))
    assert roster.leave(1, now_s=1) == presence()
    assert roster.everyone() == presence(entry(ADA, 6))


def test_nobody_takes_the_place_of_another_user(roster: Roster) -> None:
    hear(roster, 1, entry(ADA, 5), author="ada")
    assert hear(roster, 2, entry(ADA, 6), author="mallory") == presence()


def test_a_late_echo_does_not_bring_back_who_has_left(roster: Roster) -> None:
    hear(roster, 1, entry(ADA, 5))
    roster.leave(1, now_s=1)
    assert hear(roster, 2, entry(ADA, 5), now_s=REMEMBER_S) == presence()
    assert hear(roster, 2, entry(ADA, 5), now_s=REMEMBER_S + 2) == presence(entry(ADA, 5))


def test_a_shed_member_can_be_told_who_has_left_of_late(roster: Roster) -> None:
    hear(roster, 1, entry(ADA, 5))
    hear(roster, 2, entry(BOB, 1))
    roster.leave(1, now_s=1)
    assert roster.with_farewells() == presence(entry(ADA, 5, None), entry(BOB, 1))


def test_one_id_more_than_a_connection_may_have_is_ignored(roster: Roster) -> None:
    most = DEFAULT_LIMITS.presence_owned_max
    ids = [entry(client, 1) for client in range(most + 2)]
    assert hear(roster, 1, *ids) == presence(*ids[:most])
    assert hear(roster, 1, ids[-1]) == presence()
    assert hear(roster, 2, ids[-1]) == presence(ids[-1])


def test_taking_over_ones_own_ids_counts_as_having_them() -> None:
    roster = Roster(replace(DEFAULT_LIMITS, presence_owned_max=1))
    hear(roster, 1, entry(ADA, 1), author="ada")
    hear(roster, 2, entry(BOB, 1), author="ada")
    assert hear(roster, 2, entry(ADA, 2), author="ada") == presence()


def test_a_jump_to_the_end_of_the_clock_does_not_mute_an_id(roster: Roster) -> None:
    hear(roster, 1, entry(ADA, 5))
    step = DEFAULT_LIMITS.presence_clock_step_max
    assert hear(roster, 1, entry(ADA, 6 + step)) == presence()
    assert hear(roster, 1, entry(ADA, 5 + step)) == presence(entry(ADA, 5 + step))


def test_ids_that_come_and_go_cost_no_more_than_a_fixed_amount() -> None:
    limits = replace(DEFAULT_LIMITS, presence_states_max=10)
    roster = Roster(limits)
    hear(roster, 1, entry(ADA, 1))
    for client in range(100, 200):
        hear(roster, 2, entry(client, 1))
        hear(roster, 2, entry(client, 1, None))
    assert len(roster.with_farewells().entries) <= limits.presence_states_max
    assert roster.everyone() == presence(entry(ADA, 1))


WORDS = st.tuples(
    st.integers(1, 3), st.integers(0, 4), st.integers(0, 6), st.one_of(st.none(), st.just("{}")), st.booleans()
)


@given(st.lists(WORDS, max_size=40))
def test_P11_who_listens_from_the_start_knows_who_is_here(words: list[tuple[int, int, int, str | None, bool]]) -> None:
    """A listener that applies the news by y-protocols' rule agrees with the roster, whatever was said."""
    roster = Roster(DEFAULT_LIMITS)
    seen: dict[int, tuple[int, str | None]] = {}
    for member, client, clock, state, leaves in words:
        news = roster.leave(member, now_s=0) if leaves else hear(roster, member, entry(client, clock, state))
        for one in news.entries:
            apply(seen, one)
    assert {client: clock for client, (clock, state) in seen.items() if state is not None} == clocks(roster)


def apply(seen: dict[int, tuple[int, str | None]], one: PresenceEntry) -> None:
    clock, state = seen.get(one.client, (-1, None))
    if one.clock > clock or (one.clock == clock and one.state is None and state is not None):
        seen[one.client] = one.clock, one.state


def clocks(roster: Roster) -> Mapping[int, int]:
    return {one.client: one.clock for one in roster.everyone().entries}


def test_P33_what_a_connection_says_of_others_does_not_make_their_ids_its_own(roster: Roster) -> None:
    # Tabs of one browser tell each other who is here, and each tells the relay.
    hear(roster, 2, entry(BOB, 1), author="bob")
    hear(roster, 2, entry(ADA, 1), author="bob")
    assert (roster.announcer(BOB), roster.announcer(ADA)) == ("bob", None)
    roster.leave(2, now_s=1)
    assert roster.announcer(BOB) is None


def test_P32_presence_that_has_left_makes_room_for_the_next() -> None:
    roster = Roster(Limits(presence_state_bytes_max=40, room_presence_bytes_max=40))
    for client in range(1, 5):
        first = Presence((PresenceEntry(client, 1, f'"{"x" * 30}"'),))
        assert roster.hear(client, "ada", first, now_s=0.0) == first
        assert roster.hear(9, "bob", Presence((PresenceEntry(99, 1, f'"{"y" * 30}"'),)), now_s=0.0) == Presence(())
        shorter = Presence((PresenceEntry(client, 2, '"x"'),))
        assert roster.hear(client, "ada", shorter, now_s=0.0) == shorter
        roster.leave(client, now_s=0.0)
    assert roster.refused == 4
