"""Names of documents, and the keys of their entries."""

import pytest

from crdt_sync.documents import names
from crdt_sync.documents.keys import (
    check_name,
    comp,
    join,
    location_key,
    movement_id,
    parse_movement_id,
    product_key,
    split,
    to_base36,
    uncomp,
)
from crdt_sync.documents.names import (
    CatalogName,
    MetricsName,
    MovementsName,
    check_period,
    day_of,
    metrics_document,
    movements_document,
    parse_document,
    period_of,
)
from crdt_sync.errors import InvalidName, SyncError, WrongKind
from crdt_sync.values import check_document


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("inventory/catalog", CatalogName()),
        ("inventory/2026-11", MovementsName("2026-11")),
        ("inventory/2026-11-20", MovementsName("2026-11-20")),
        ("metrics/2026-11", MetricsName("2026-11")),
    ],
)
def test_a_name_says_what_the_document_holds(name: str, parsed: CatalogName | MovementsName | MetricsName) -> None:
    assert parse_document(name) == parsed
    assert str(parsed) == check_document(name)


@pytest.mark.parametrize("name", ["", "inventory", "notes/2026-11", "inventory/2026-11/x", "Inventory/catalog"])
def test_a_name_that_is_not_ours_is_of_the_wrong_kind(name: str) -> None:
    with pytest.raises(WrongKind):
        parse_document(name)


@pytest.mark.parametrize(
    "period", ["2026-13", "2026-00", "2026-2", "2026-02-30", "2026-11-20T00", "0000-01", "\uff12026-11", ""]
)
def test_a_period_that_no_calendar_has_is_refused(period: str) -> None:
    for make in (check_period, movements_document, metrics_document):
        with pytest.raises(InvalidName):
            make(period)


def test_a_period_is_the_utc_month_or_day_of_a_time() -> None:
    last_ms_of_october = 1_793_491_199_999
    assert period_of(last_ms_of_october) == "2026-10"
    assert period_of(last_ms_of_october + 1) == "2026-11"
    assert day_of(last_ms_of_october) == "2026-10-31"
    with pytest.raises(InvalidName):
        period_of(10**18)


def test_keys_are_percent_encoded_as_javascript_does_it() -> None:
    assert comp("a b/c|d@e$f+g&h=i,j;k:l?m#n%") == "a%20b%2Fc%7Cd%40e%24f%2Bg%26h%3Di%2Cj%3Bk%3Al%3Fm%23n%25"
    assert comp("-_.!~*'()") == "-_.!~*'()"
    assert comp("é") == comp("e\u0301") == "%C3%A9"
    assert product_key("@A/1", "price") == "%40A%2F1/price"
    assert location_key("Köln", "$life") == "@K%C3%B6ln/$life"


@pytest.mark.parametrize("part", ["", "a b", "%c3%a9", "e%CC%81", "%zz", "%", "%C3", "%41", "é"])
def test_a_part_that_we_would_never_write_is_not_read(part: str) -> None:
    assert uncomp(part) is None


def test_a_key_has_as_many_parts_as_expected_or_is_none() -> None:
    assert split("likes/tweet%2017/w", 3) == ("likes", "tweet 17", "w")
    assert split("likes/tweet", 3) is None
    assert split("likes//w", 3) is None


@pytest.mark.parametrize("name", ["", "\ud800", 17, None, b"shirt"])
def test_a_name_is_text_that_utf8_can_hold(name: object) -> None:
    with pytest.raises(InvalidName):
        check_name("product", name)


def test_a_key_beyond_200_bytes_is_refused() -> None:
    assert len(join("a" * 99, "b" * 100)) == 200
    with pytest.raises(InvalidName, match="200"):
        join("a" * 100, "b" * 100)


def test_a_movement_id_is_written_as_javascript_does_it() -> None:
    assert [to_base36(n) for n in (0, 35, 36, 2**53 - 1)] == ["0", "z", "10", "2gosa7pa2gv"]
    assert movement_id(2**53 - 1, 36) == "2gosa7pa2gv.10"
    assert parse_movement_id("2gosa7pa2gv.10") == (2**53 - 1, 36)
    assert parse_movement_id("A.1") is parse_movement_id("a1") is parse_movement_id("a.1\n") is None


@pytest.mark.parametrize(
    ("name", "base", "epoch", "following"),
    [
        ("inventory/catalog", "inventory/catalog", 1, "inventory/catalog.2"),
        ("inventory/catalog.2", "inventory/catalog", 2, "inventory/catalog.3"),
        ("inventory/2026-11.9", "inventory/2026-11", 9, "inventory/2026-11.10"),
        ("metrics/2026-11-20.41", "metrics/2026-11-20", 41, "metrics/2026-11-20.42"),
    ],
)
def test_every_epoch_of_a_document_has_a_name_of_its_own(name: str, base: str, epoch: int, following: str) -> None:
    assert (names.base_of(name), names.epoch_of(name), names.next_epoch(name)) == (base, epoch, following)
    assert str(names.parse_document(name)) == name


@pytest.mark.parametrize("name", ["inventory/catalog.1", "inventory/catalog.02", "inventory/catalog.", "a/b.2"])
def test_what_looks_like_an_epoch_and_is_none_is_no_document_of_ours(name: str) -> None:
    assert names.epoch_of(name) == 1
    with pytest.raises(SyncError):
        names.parse_document(name)


def test_personal_data_has_a_document_for_each_subject_and_no_epochs() -> None:
    assert names.parse_document("pii/customer-1042") == names.PersonalName("customer-1042")
    assert str(names.PersonalName("customer-1042.2")) == "pii/customer-1042.2"
    with pytest.raises(WrongKind):
        names.next_epoch("pii/customer-1042")


@pytest.mark.parametrize("subject", ["", "Mrs. Miller", "miller@example.org", "a/b", "x" * 129, "-a"])
def test_a_subject_is_an_id_and_no_name(subject: str) -> None:
    with pytest.raises(InvalidName):
        names.personal_document(subject)
