"""What is written as a key, an id, a stamp or a value is read back as it was, whatever it was."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crdt_sync.documents.catalog.registers import VALUE_BYTES_MAX, check_value, read_value, same
from crdt_sync.documents.clock import AHEAD_MS_MAX, EPOCH_MS, HybridClock, at_ms
from crdt_sync.documents.keys import check_name, comp, join, movement_id, nfc, parse_movement_id, split, uncomp
from crdt_sync.documents.names import MetricsName, MovementsName, day_of, parse_document, period_of
from crdt_sync.documents.schema import INT_MAX
from crdt_sync.documents.stock.movements import Movement, flaw, read_movement
from crdt_sync.errors import DocumentError, InvalidName
from tests.unit.documents.replicas import DocRoots, Replica, shop

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1)
SHORT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
INTS = st.integers(-INT_MAX, INT_MAX)
SCALARS = st.one_of(st.none(), st.booleans(), INTS, st.floats(allow_nan=False, allow_infinity=False), SHORT)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=5))
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=9) | st.dictionaries(SHORT, inner, max_size=3))


@given(TEXTS)
def test_a_part_of_a_key_is_read_back_in_its_one_spelling(text: str) -> None:
    assert uncomp(comp(text)) == nfc(text)
    assert comp(nfc(text)) == comp(text)
    assert comp(text).isascii()
    assert not set("/|@$") & set(comp(text))


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_a_key_is_read_back_part_by_part_or_refused_as_too_long(texts: list[str]) -> None:
    try:
        key = join(*map(comp, texts))
    except InvalidName:
        assert sum(len(comp(text)) + 1 for text in texts) - 1 > 200
        return
    assert split(key, len(texts)) == tuple(map(nfc, texts))


@given(st.text(max_size=30))
def test_any_text_as_a_key_is_read_as_written_by_us_or_not_at_all(part: str) -> None:
    text = uncomp(part)
    assert text is None or comp(text) == part


@given(st.text())
def test_any_text_as_a_name_is_taken_in_one_spelling_or_refused(text: str) -> None:
    try:
        checked = check_name("product", text)
    except InvalidName:
        assert not text or any("\ud800" <= sign <= "\udfff" for sign in text)
        return
    assert check_name("product", checked) == checked == nfc(text)


@given(st.integers(0, INT_MAX), st.integers(0, INT_MAX))
def test_a_movement_id_is_read_back(client_id: int, sequence: int) -> None:
    mid = movement_id(client_id, sequence)
    assert parse_movement_id(mid) == (client_id, sequence)
    assert (int(mid.split(".")[0], 36), int(mid.split(".")[1], 36)) == (client_id, sequence)


@given(st.integers(0, 253_370_764_800_000))
def test_a_period_names_a_document_that_says_it(now_ms: int) -> None:
    for period in (period_of(now_ms), day_of(now_ms)):
        assert parse_document(str(MovementsName(period))) == MovementsName(period)
        assert parse_document(str(MetricsName(period))) == MetricsName(period)
    assert day_of(now_ms).startswith(period_of(now_ms))


TIMES = st.integers(EPOCH_MS, EPOCH_MS + 10**12)


@given(st.lists(st.tuples(TIMES, st.none() | st.integers(0, INT_MAX)), max_size=30))
def test_stamps_only_grow_however_the_wall_clock_jumps_and_whatever_is_received(
    steps: list[tuple[int, int | None]],
) -> None:
    clock = HybridClock()
    for now_ms, received in steps:
        before = clock.latest
        if received is None:
            stamp = clock.tick(now_ms)
            assert stamp > before
            assert stamp == clock.latest
            assert at_ms(stamp) >= now_ms
        elif clock.receive(received, now_ms):
            assert at_ms(received) <= now_ms + AHEAD_MS_MAX
            assert clock.latest == max(before, received)
        else:
            assert at_ms(received) > now_ms + AHEAD_MS_MAX
            assert clock.latest == before


@given(SHORT, SHORT, VALUES)
def test_an_attribute_is_read_back_by_another_replica(sku: str, field: str, value: object) -> None:
    assume(not nfc(field).startswith("$"))
    one = Replica()
    try:
        with one.edit() as docs:
            docs.inventory.add_product(sku, **{field: value})
    except InvalidName:
        assert len(comp(sku)) + len(comp(field)) > 199 or len(comp(sku)) > 194
        return
    two = Replica(catalog=DocRoots(one.catalog.doc.get_update()))
    expected = {} if value is None else {nfc(field): value}
    assert two.inventory.products() == {nfc(sku): expected}
    assert same(two.inventory.attribute(sku, field), check_value("x", value))
    assert two.inventory.faults() == []


@given(st.one_of(JSON, st.text(), st.integers(), st.floats(), st.binary(), st.lists(st.text())))
def test_a_value_is_either_refused_or_equal_after_reading(value: object) -> None:
    try:
        checked = check_value("x", value)
    except DocumentError:
        return
    assert read_value(checked) == value
    assert len(repr(checked)) <= VALUE_BYTES_MAX * 2


MOVEMENTS = st.builds(
    Movement,
    st.just("2026-11"),
    st.builds(movement_id, st.integers(0, INT_MAX), st.integers(0, INT_MAX)),
    st.sampled_from(["rcv", "sale", "adj", "ship"]),
    TEXTS.map(nfc),
    TEXTS.map(nfc),
    st.integers(1, INT_MAX),
    TEXTS,
    st.integers(0, INT_MAX),
    st.none() | TEXTS,
    st.dictionaries(SHORT, SHORT, max_size=2),
)


@given(MOVEMENTS)
def test_a_movement_is_read_back_through_a_document(movement: Movement) -> None:
    roots = DocRoots()
    roots.put("mv", movement.mid, movement.layout())
    assert read_movement("2026-11", movement.mid, roots.entries("mv")[movement.mid]) == movement
    assert read_movement("2026-11", movement.mid, roots.get("mv", movement.mid)) == movement


NEARLY = st.lists(
    st.one_of(st.sampled_from(["rcv", "sale", "recv", "hold", "shirt", "A", 3, 3.0, None]), JSON), max_size=9
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8) | st.just("a.0"), st.one_of(NEARLY, JSON)))
def test_no_entry_of_a_foreign_page_can_crash_a_read_or_vanish(entries: dict[str, object]) -> None:
    replica = shop()
    for key, value in entries.items():
        for roots, root in ((replica.movements, "mv"), (replica.catalog, "attr"), (replica.metrics, "g")):
            roots.put(root, key, value)  # type: ignore[arg-type]
        replica.metrics.put("c", key, value)  # type: ignore[arg-type]
    inventory = replica.inventory
    read = list(inventory.movements())
    skipped = [fault for fault in inventory.faults() if fault.root == "mv" and "ahead" not in fault.reason]
    assert len(read) + len(skipped) + sum(inventory.unknown_kinds().values()) == len(entries)
    inventory.stock_table(), inventory.products(), inventory.locations(), inventory.refs(), inventory.in_transit()
    with replica.edit() as docs:
        docs.metrics.gauges(), docs.metrics.counters(), docs.metrics.faults()


@given(st.text(max_size=8), NEARLY | JSON)
def test_an_entry_is_readable_exactly_when_it_has_no_flaw(mid: str, value: object) -> None:
    row: object = ["rcv", *value] if isinstance(value, list) else value
    movement = read_movement("2026-11", mid, row)  # type: ignore[arg-type]
    known = isinstance(row, list) and flaw(mid, row) is None
    assert (movement is not None) == known


def test_movements_of_one_replica_never_share_an_id() -> None:
    replica = shop()
    with replica.edit() as docs:
        mids = [docs.inventory.receive("shirt", 1, at="A") for _ in range(300)]
    assert len(set(mids)) == 300
    with pytest.raises(InvalidName):
        replica.inventory.arrive(mids[0])
