"""Chunks, series and sketches: what was put in comes out, in whatever order it was merged."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.documents.clock import STAMP_MAX
from crdt_sync.documents.metrics.chunks import Stored, decode_chunk, encode_chunk, read_outline
from crdt_sync.documents.metrics.packing import pack, unpack, unpack_one, unpack_signed, zigzag
from crdt_sync.documents.metrics.series import scale
from crdt_sync.documents.metrics.sketches import Histogram, Registers, join_registers, sum_histograms
from crdt_sync.documents.metrics.tracks import unscale
from crdt_sync.errors import InvalidValue
from tests.unit.documents.replicas import NOW_MS, DocRoots, Replica

INT64 = st.integers(-(2**63), 2**63 - 1)
STAMPS = st.integers(0, STAMP_MAX)
NEAR = st.integers(NOW_MS - 3_600_000, NOW_MS)
SAMPLES = st.lists(
    st.tuples(INT64 | NEAR, INT64 | st.integers(-99, 99), STAMPS | st.sampled_from([5, 6])),
    min_size=1,
    max_size=120,
    unique_by=lambda sample: sample[0],
).map(lambda samples: [Stored(*sample) for sample in sorted(samples)])
VALUES = st.floats(0, 1e17) | st.integers(0, 10**6)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)


@given(st.lists(st.integers(0, 2**66)))
def test_packed_numbers_come_back(numbers: list[int]) -> None:
    out = bytearray()
    pack(out, numbers)
    assert unpack(bytes(out)) == numbers
    if numbers:
        assert unpack_one(bytes(out), 0)[0] == numbers[0]


@given(st.lists(st.integers(-(2**65), 2**65)))
def test_signed_packed_numbers_come_back(numbers: list[int]) -> None:
    out = bytearray()
    pack(out, map(zigzag, numbers))
    assert unpack_signed(bytes(out)) == numbers


@given(SAMPLES, st.integers(0, 9))
def test_a_chunk_gives_back_any_samples(samples: list[Stored], decimals: int) -> None:
    data = encode_chunk(samples, decimals)
    columns = decode_chunk(data)
    assert (columns.outline.decimals, columns.samples()) == (decimals, samples)
    outline = read_outline(data)
    assert (outline.first_ms, outline.last_ms) == (samples[0].at_ms, samples[-1].at_ms)
    assert (outline.count, outline.stamp) == (len(samples), max(sample.stamp for sample in samples))


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda rest: b"\x01\x00" + rest))
def test_any_bytes_are_one_chunk_in_its_only_spelling_or_refused(data: bytes) -> None:
    try:
        columns = decode_chunk(data)
    except InvalidValue:
        return
    assert encode_chunk(columns.samples(), columns.outline.decimals) == data


@given(SAMPLES, st.data())
def test_a_chunk_with_a_changed_byte_is_refused_or_another_chunk(samples: list[Stored], data: Any) -> None:
    chunk = bytearray(encode_chunk(samples))
    chunk[data.draw(st.integers(0, len(chunk) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(chunk[: data.draw(st.integers(0, len(chunk)))])
    for damaged in (bytes(chunk), cut):
        try:
            columns = decode_chunk(damaged)
        except InvalidValue:
            continue
        assert encode_chunk(columns.samples(), columns.outline.decimals) == damaged


@given(st.integers(-(2**53) + 1, 2**53 - 1), st.integers(0, 9))
def test_a_scaled_value_stands_for_one_decimal(scaled: int, decimals: int) -> None:
    value = unscale(scaled, decimals)
    assert scale(value, decimals) == scaled
    assert Decimal(value).scaleb(decimals) == scaled


@given(st.lists(st.lists(VALUES, max_size=20), min_size=1, max_size=4), st.permutations(range(4)))
def test_histograms_merge_in_any_order_to_what_one_would_have_counted(
    parts: list[list[float]], order: list[int]
) -> None:
    slots, alone = [], Histogram()
    for part in parts:
        slot = Histogram()
        for value in part:
            slot.record(value)
            alone.record(value)
        slots.append(Histogram.decode(slot.encode()))
    shuffled = [slots[number] for number in order if number < len(slots)]
    assert sum_histograms(shuffled).encode() == sum_histograms(slots).encode() == alone.encode()
    nested = sum_histograms([sum_histograms(slots[:1]), sum_histograms(slots[1:])])
    assert nested.encode() == alone.encode()


@given(st.lists(st.floats(1e-9, 1e15), min_size=1, max_size=50), st.floats(0, 1))
def test_a_quantile_is_off_by_at_most_one_percent(values: list[float], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    exact = sorted(values)[int(share * (len(values) - 1))]
    found = histogram.quantile(share)
    assert found is not None
    assert abs(found - exact) <= exact * 0.01 * (1 + 1e-9)


@given(st.lists(st.lists(TEXTS, max_size=30), min_size=1, max_size=4), st.permutations(range(4)))
def test_registers_join_in_any_order_and_again_and_again(parts: list[list[str]], order: list[int]) -> None:
    slots, alone = [], Registers()
    for part in parts:
        slot = Registers()
        for text in part:
            slot.record(text)
            alone.record(text)
        slots.append(Registers.decode(slot.encode()))
    shuffled = [slots[number] for number in order if number < len(slots)]
    joined = join_registers([*shuffled, *slots, join_registers(slots)])
    assert joined.encode() == alone.encode()
    assert joined.estimate() == alone.estimate()
    different = len({text for part in parts for text in part})
    assert abs(alone.estimate() - different) <= 2


@given(st.binary(max_size=40), st.sampled_from([b"", b"\x01\x01", b"\x01\x0c\x00", b"\x01\x0c\x01"]))
def test_any_bytes_are_a_sketch_in_its_only_spelling_or_refused(rest: bytes, head: bytes) -> None:
    data = head + rest
    for sketch in (Histogram, Registers):
        try:
            decoded = sketch.decode(data)
        except InvalidValue:
            continue
        assert decoded.encode() == data


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["add", "pull"]),
        st.integers(0, 2),
        st.integers(0, 2),
        st.lists(st.tuples(st.integers(0, 9), st.integers(-9, 9)), min_size=1, max_size=9),
    ),
    max_size=12,
)


@given(ACTS, st.permutations(range(3)))
def test_union_of_a_series_is_the_last_value_of_each_time(acts: list[Any], order: list[int]) -> None:
    """I12: the greatest (stamp, writer) counts for each time, in every replica, in any order of syncs."""
    writers = [Replica(f"w{number}") for number in range(3)]
    written: dict[int, tuple[int, str, int]] = {}
    for number, (kind, one, other, samples) in enumerate(acts):
        writer = writers[one]
        if kind == "pull":
            writer.pull(writers[other])
            continue
        # Clocks lag and run ahead, within the 60 s in which writers still adopt each other's stamps.
        skew_ms = 3_000 * samples[0][1]
        writer.now_ms = lambda skew_ms=skew_ms: NOW_MS + skew_ms
        with writer.edit() as docs:
            series = docs.metrics.series("m", "e")
            seen = {sample.at_ms: sample.value for sample in series.samples()}
            # All of it fits into one chunk a writer, so that nobody comes back to one that it has left behind.
            fresh = {NOW_MS - 400_000_000 + number // 3 * 500_000 + at: value for at, value in samples}
            added = series.extend(fresh.items())
            changed = {at: value for at, value in fresh.items() if seen.get(at) != value}
            assert added == len(changed)
            assert {one.at_ms: one.value for one in series.samples()} == seen | fresh
        for at, value in changed.items():
            written[at] = max((writer.clock.latest, writer.rid, value), written.get(at, (0, "", 0)))
    for sequence in (order, order[::-1]):
        reader = Replica("reader", metrics=DocRoots(), now_ms=lambda: NOW_MS + 100)
        for number in sequence:
            reader.pull(writers[number])
        with reader.edit() as docs:
            assert {one.at_ms: one.value for one in docs.metrics.series("m", "e").samples()} == {
                at: value for at, (_, _, value) in written.items()
            }
            assert docs.metrics.faults() == []


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 99)), min_size=1, max_size=10), st.permutations(range(3)))
def test_of_several_writers_at_one_time_the_last_stamp_counts(acts: list[tuple[int, int]], order: list[int]) -> None:
    """I12, without any syncs between: of equal stamps the greater writer counts."""
    writers = [Replica(f"w{number}") for number in range(3)]
    best = (0, "", 0)
    for step, (one, value) in enumerate(acts):
        writer = writers[one]
        writer.now_ms = lambda step=step: NOW_MS + step // 2  # type: ignore[misc]
        with writer.edit() as docs:
            if docs.metrics.series("m", "e").add(NOW_MS - 5, value):
                best = max(best, (writer.clock.latest, writer.rid, value))
    reader = Replica("reader")
    for number in order:
        reader.pull(writers[number])
    with reader.edit() as docs:
        [sample] = docs.metrics.series("m", "e").samples()
    assert (sample.wid, sample.value) == best[1:]


@pytest.mark.parametrize("value", [True, "1", None, float("nan"), float("inf"), Decimal("NaN"), Decimal("Infinity")])
def test_a_sample_that_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(InvalidValue):
        scale(value, 2)


@pytest.mark.parametrize(
    "value", [1.005, Decimal("0.001"), Decimal("1e-400"), 2**53, Decimal("1e400"), 90071992547409.92]
)
def test_a_sample_that_two_decimals_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(InvalidValue):
        scale(value, 2)
