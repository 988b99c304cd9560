"""Two contents under one (client, clock) are noticed; two encodings of one content are not."""

import pytest

from crdt_sync.errors import ClientIdReused
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol.wire import text, uint
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.gate import Verdict, judge
from crdt_sync.updates.ledger import Ledger

ROOT = b"\x01\x01r"
GONE = b"\x01"
STRING, EMBED, FORMAT, ANY, SUBDOCUMENT = 4, 5, 6, 8, 9


def update(clock: int, *structs: bytes, client: int = 7) -> bytes:
    return b"\x01" + uint(len(structs)) + uint(client) + uint(clock) + b"".join(structs) + b"\x00"


def first(kind: int, content: bytes) -> bytes:
    return bytes((kind,)) + ROOT + content


def after(origin: int, kind: int, content: bytes, client: int = 7) -> bytes:
    return bytes((128 | kind,)) + uint(client) + uint(origin) + content


def holder(*updates: bytes) -> Ledger:
    ledger = Ledger(remembers=True)
    for raw in updates:
        fresh = judged(raw, ledger).fresh
        assert fresh is not None
        ledger.admit(fresh)
    return ledger


def judged(raw: bytes, ledger: Ledger) -> Verdict:
    return judge(decode_update(raw), ledger, DEFAULT_LIMITS)


JS_ONE, PY_ONE, DOUBLE_ONE = b"\x7d\x01", b"\x7c\x3f\x80\x00\x00", b"\x7b\x3f\xf0" + bytes(6)
SAME = {
    "an integer and a float": (first(ANY, b"\x01" + JS_ONE), first(ANY, b"\x01" + PY_ONE)),
    "two sizes of float": (first(ANY, b"\x01" + PY_ONE), first(ANY, b"\x01" + DOUBLE_ONE)),
    "the order of a dictionary": (
        first(ANY, b"\x01\x76\x02\x01a" + JS_ONE + b"\x01b\x78"),
        first(ANY, b"\x01\x76\x02\x01b\x78\x01a" + PY_ONE),
    ),
    "the order within an embed": (
        first(EMBED, text('{"a": 1, "b": [2]}')),
        first(EMBED, text('{"b":[2.0],"a":1.0}')),
    ),
    "the number in a format": (
        first(FORMAT, text("size") + text("1")),
        first(FORMAT, text("size") + text("1.0")),
    ),
    "the options of a subdocument": (
        first(SUBDOCUMENT, text("g") + b"\x76\x00"),
        first(SUBDOCUMENT, text("g") + b"\x76\x01\x04meta\x78"),
    ),
    "content that is gone": (first(STRING, text("a")), first(GONE[0], b"\x01")),
    "not a number": (first(ANY, b"\x01\x7b\x7f\xf8" + bytes(6)), first(ANY, b"\x01\x7c\x7f\xc0\x00\x00")),
    "half a character": (first(STRING, text("😀")), first(STRING, text("\ufffd")) + after(0, STRING, text("\ufffd"))),
}
DIFFERENT = {
    "texts": (first(STRING, text("ab")), first(STRING, text("ac"))),
    "a text and a value": (first(STRING, text("a")), first(ANY, b"\x01\x77" + text("a"))),
    "true and one": (first(ANY, b"\x01\x78"), first(ANY, b"\x01" + JS_ONE)),
    "values": (first(ANY, b"\x02" + JS_ONE + JS_ONE), first(ANY, b"\x02" + JS_ONE + b"\x7d\x02")),
    "lists": (first(ANY, b"\x01\x75\x01" + JS_ONE), first(ANY, b"\x01\x75\x00")),
    "types": (first(7, b"\x00"), first(7, b"\x01")),
    "embeds": (first(EMBED, text('{"a":1}')), first(EMBED, text('{"a":2}'))),
}


def structs_of(content: bytes) -> list[bytes]:
    # The only case of two structs is the one that ends in an origin of its own.
    cut = content.find(after(0, STRING, b""))
    return [content] if cut < 0 else [content[:cut], content[cut:]]


@pytest.mark.parametrize("case", SAME)
def test_another_encoding_of_the_same_content_is_no_alarm(case: str) -> None:
    for kept, came in (SAME[case], SAME[case][::-1]):
        ledger = holder(update(0, *structs_of(kept)))
        assert judged(update(0, *structs_of(came)), ledger) == Verdict(None, False, ())


@pytest.mark.parametrize("case", DIFFERENT)
def test_another_content_under_one_id_is_reuse(case: str) -> None:
    for kept, came in (DIFFERENT[case], DIFFERENT[case][::-1]):
        with pytest.raises(ClientIdReused) as caught:
            judged(update(0, came), holder(update(0, kept)))
        assert caught.value.client == 7


def test_reuse_is_found_where_runs_are_cut_elsewhere() -> None:
    ledger = holder(update(0, first(STRING, text("abc"))), update(3, after(2, STRING, text("def"))))
    whole = update(0, first(STRING, text("ab")), after(1, STRING, text("cdefg")))
    assert judged(whole, ledger).gap is False
    with pytest.raises(ClientIdReused) as caught:
        judged(update(0, first(STRING, text("ab")), after(1, STRING, text("cdXfg"))), ledger)
    assert caught.value.clock == 4


def test_a_huge_run_of_gone_content_is_never_spelled_out() -> None:
    # Twelve bytes that stand for sixteen million elements, sent twice.
    gone = update(0, b"\x00" + uint(1 << 24))
    assert judged(gone, holder(gone)) == Verdict(None, False, ())


def test_one_element_of_a_large_update_is_compared_and_an_update_in_front_of_the_memory_is_let_by() -> None:
    values = [after(i, ANY, b"\x01\x7d" + bytes((i % 60,))) for i in range(2_000)]
    ledger = holder(update(0, first(ANY, b"\x01\x78"), *values))
    assert judged(update(1_501, values[1_500]), ledger) == Verdict(None, False, ())
    with pytest.raises(ClientIdReused):
        judged(update(1_501, values[1_501].replace(uint(1_501), uint(1_500), 1)), ledger)
    ledger.forget_admitted()
    assert judged(update(1_501, values[0].replace(b"\x00", uint(1_500), 1)), ledger) == Verdict(None, False, ())
