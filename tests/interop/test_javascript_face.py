"""A page with the JavaScript package and Python do the same with the same histories, and refuse the same misuse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crdt_sync.documents.keys import comp
from crdt_sync.documents.stock.movements import EFFECT
from tests.interop.javascript_face import (
    Actor,
    Command,
    Node,
    PageActor,
    PythonActor,
    exchange,
    look_of,
    meet,
    open_node,
    sorted_look,
)
from tests.interop.node_clients import need_node
from tests.unit.documents.replicas import NOW_MS, DocRoots, Replica

pytestmark = pytest.mark.interop
PRODUCTS = ("shirt", "Söckchen 🧦/rot", "cafe\u0301")
PLACES = ("A", "Köln/2")
RIDS = ("till-1", "till-2", "web.1", "web.2")
ACTORS = range(len(RIDS))
KINDS = sorted(EFFECT)
STAMP = 889_500_467_200_000


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    need_node()
    with open_node() as process:
        yield process


class Step(NamedTuple):
    """``choice`` picks among what is there when the step is taken: a hold, a shipment, a conflict."""

    actor: int
    command: Command
    choice: int = 0


class Exchange(NamedTuple):
    giver: int
    taker: int
    order: Sequence[int]


SKUS = st.sampled_from([*PRODUCTS, "shirt", "shirt", "caf\u00e9"])
UNKNOWN = st.sampled_from(["", "nobody knows it", "\ud800", 7, None])
PLACE = st.sampled_from([*PLACES, "A", "A"])
UNITS = st.integers(1, 6)
BAD_UNITS = st.sampled_from([0, -1, 1.5, 2**53, None, True, "3"])
REFS = st.none() | st.sampled_from(["invoice 1", "", "x" * 201, "🧦" * 50])
FIELDS = st.sampled_from(["price", "price", "name", "escrow", "$life", "", "x" * 200])
VALUES = st.one_of(
    st.sampled_from(
        [1, 2, 30, 1.5, 0.00001, 1e-7, True, None, "refuse", "allow", "back-order", "rot", "\ud800", 2**53]
    ),
    st.lists(st.sampled_from(["a", "b", 3, 10, "🧦", "\uffff", None]), max_size=3),
    st.sampled_from(["red wool shirt", "blue wool shirt", "red cotton shirt, new", "x" * 70_000]),
)
CHOICES: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"accept": "local"}, {"accept": "server"}, {"accept": "1.1"}, {"value": 12}, {"value": "\ud800"},
        {"merge": "max"}, {"merge": "min"}, {"merge": "union"}, {"merge": "sum", "base": 1}, {"merge": "nothing"},
        {"merge": "text", "base": "red wool shirt"}, {}, {"accept": "local", "value": 1},
    ]
)  # fmt: skip


def commands(method: str, *arguments: Any, **options: Any) -> st.SearchStrategy[Command]:
    return st.builds(Command, st.just(method), st.tuples(*arguments).map(list), st.fixed_dictionaries(options))


def moves(method: str, **options: Any) -> st.SearchStrategy[Command]:
    return commands(method, SKUS, UNITS, at=PLACE, **options)


COMMANDS = st.one_of(
    commands("set_attribute", SKUS, FIELDS, VALUES),
    commands("set_attribute", SKUS, st.just("price"), st.integers(1, 9)),
    commands("set_attribute", SKUS, st.just("price"), VALUES, seen=st.just("1.1"), keep_stale=st.booleans()),
    commands("set_location_attribute", PLACE, st.just("escrow"), st.sampled_from(["refuse", "allow", "off", "bogus"])),
    commands("delete_product", SKUS),
    CHOICES.map(lambda choice: Command("resolve", ["?"], choice)),
    moves("receive", ref=REFS),
    moves("sell", short=st.sampled_from([None, None, "refuse", "back-order", "allow", "never"])),
    moves("sell", hold=st.just("?")),
    moves("hold", until_ms=st.sampled_from([None, 1, -1])),
    moves("give", to=st.sampled_from([*RIDS, ""])),
    moves("request"),
    moves("reclaim", of=st.sampled_from([None, *RIDS])),
    commands("adjust", SKUS, st.integers(-4, 4), at=PLACE),
    commands("count", SKUS, st.integers(-1, 9), at=PLACE),
    commands("transfer", SKUS, UNITS, source=PLACE, to=PLACE),
    commands("ship", SKUS, UNITS, source=PLACE, to=PLACE, recipient=st.sampled_from([None, *RIDS, ""])),
    *(commands(method, st.just("?")) for method in ("arrive", "confirm", "release", "expire")),
    commands("receive", SKUS, BAD_UNITS, at=PLACE),
    commands("sell", UNKNOWN, UNITS, at=PLACE),
    commands("hold", SKUS, UNITS, at=UNKNOWN),
)
STEP = st.builds(Step, st.sampled_from(ACTORS), COMMANDS, st.integers(0, 9))
EXCHANGE = st.builds(
    Exchange, st.sampled_from(ACTORS), st.sampled_from(ACTORS), st.lists(st.integers(0, 50), max_size=8)
)
PRICES = st.sampled_from([1, 2, 1.5, None, ["a", "b"], ["b", 3], "red wool shirt", "blue wool shirt", "red shirt, new"])
ABOUT = st.sampled_from([("price", PRICES), ("$life", None), ("escrow", st.sampled_from(["refuse", "allow"]))])


@st.composite
def races(draw: st.DrawFn) -> list[Step | Exchange]:
    """Two write of one product at once and meet, and then somebody decides, or two do."""
    one, other = draw(st.permutations(ACTORS).map(lambda order: order[:2]))
    sku, [field, values] = draw(SKUS), draw(ABOUT)
    choices = [draw(CHOICES), draw(CHOICES)]
    if values is None:
        writes = [Command("delete_product", [sku]), Command("set_attribute", [sku, "name", draw(PRICES)])]
        choices = [{"value": "deleted"}, {"value": draw(st.sampled_from(["active", "deleted", "lost"]))}]
    else:
        writes = [Command("set_attribute", [sku, field, draw(values)]) for _ in range(2)]
    meeting = [Exchange(one, other, draw(st.lists(st.integers(0, 50), max_size=3))), Exchange(other, one, [])]
    decisions = [Command("resolve", ["?"], choice) for choice in choices]
    return [
        *map(Step, (one, other), writes),
        *meeting,
        *[
            Step(actor, decision, draw(st.integers(0, 2)))
            for actor, decision in zip((one, other), decisions, strict=True)
        ],
    ]


@st.composite
def sharing(draw: st.DrawFn) -> list[Step | Exchange]:
    """One hands over rights, goods or a hold to another, who uses them before or after it has heard of them."""
    one, other = draw(st.permutations(ACTORS).map(lambda order: order[:2]))
    units, at = draw(UNITS), draw(PLACE)
    given_away = draw(
        st.sampled_from(
            [
                Command("give", ["shirt", units], {"at": at, "to": RIDS[other]}),
                Command("ship", ["shirt", units], {"source": "A", "to": "Köln/2", "recipient": RIDS[other]}),
                Command("hold", ["shirt", units], {"at": at, "until_ms": 1}),
                Command("request", ["shirt", units], {"at": at}),
                Command("count", ["shirt", units], {"at": at}),
                Command("sell", ["shirt", units], {"at": at, "short": "back-order"}),
            ]
        )
    )
    used = draw(
        st.lists(
            st.sampled_from(
                [
                    Command("arrive", ["?"]), Command("confirm", ["?"]), Command("release", ["?"]),
                    Command("expire", ["?"]), Command("sell", ["shirt", units], {"at": at}),
                    Command("sell", ["shirt", units], {"at": at, "hold": "?"}),
                    Command("count", ["shirt", units + 1], {"at": at}),
                    Command("give", ["shirt", 1], {"at": at, "to": RIDS[one]}),
                ]
            ),
            max_size=3,
        )
    )  # fmt: skip
    return [
        Step(one, given_away),
        Exchange(one, other, []),
        *[Step(draw(st.sampled_from([one, other])), command, draw(st.integers(0, 2))) for command in used],
    ]


HISTORIES = st.lists(
    st.one_of(STEP.map(lambda one: [one]), EXCHANGE.map(lambda one: [one]), races(), sharing()), max_size=10
).map(lambda parts: [step for part in parts for step in part])


def settled(actor: Actor, step: Step) -> Command:
    """The command, with what it is about chosen from what the actor knows."""
    inventory, command = actor.view.look, step.command
    if command.method == "resolve":
        keys = [conflict.key for conflict in inventory.conflicts()] or ["shirt/price"]
        return Command("resolve", [keys[step.choice % len(keys)]], command.options)
    kind = "ship" if command.method == "arrive" else "hold"
    mids = [movement.mid for movement in inventory.movements() if movement.kind == kind] or ["zz.9"]
    mid = mids[step.choice % len(mids)]
    options = {name: mid if value == "?" else value for name, value in command.options.items()}
    return Command(command.method, [mid if one == "?" else one for one in command.arguments], options)


def open_shop(node: Node) -> list[Actor]:
    actors: list[Actor] = [
        PythonActor(RIDS[0]),
        PythonActor(RIDS[1]),
        PageActor(node, RIDS[2]),
        PageActor(node, RIDS[3]),
    ]
    first = actors[2]
    for sku in PRODUCTS:
        first.act(Command("add_product", [sku]))
    for place in PLACES:
        first.act(Command("add_location", [place]))
    first.act(Command("set_location_attribute", ["A", "escrow", "refuse"]))
    first.act(Command("receive", ["shirt", 9], {"at": "A"}))
    first.act(Command("give", ["shirt", 4], {"at": "A", "to": RIDS[0]}))
    for actor in actors:
        if actor is not first:
            exchange(first, actor, ())
    return actors


def play(node: Node, steps: Sequence[Step | Exchange]) -> None:
    actors = open_shop(node)
    try:
        for step in steps:
            match step:
                case Step(actor):
                    actors[actor].act(settled(actors[actor], step))
                case Exchange(giver, taker, order) if giver != taker:
                    exchange(actors[giver], actors[taker], order)
        meet(actors)
        looks = [actor.look() for actor in actors]
        for look in looks[1:]:
            assert look == looks[0]
    finally:
        for page in actors:
            if isinstance(page, PageActor):
                page.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(HISTORIES)
def test_any_history_of_pages_and_peers_reads_and_refuses_alike_in_both_languages(
    node: Node, steps: list[Step | Exchange]
) -> None:
    play(node, steps)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=40))
def test_keys_are_spelled_alike_in_both_languages(node: Node, texts: list[str]) -> None:
    whole = [text for text in texts if text.isascii() or text.encode(errors="ignore").decode() == text]
    assert node.result("none", "comp", *whole) == [comp(text) for text in whole]


SOUND_ROWS = st.builds(
    lambda *places: list(places),
    st.sampled_from([*KINDS, "hold", "hold", "conf", "rel", "ship", "recv", "recv"]),
    st.just("shirt"),
    st.sampled_from(["A", "A", "A", "Köln/2", "Ko\u0308ln/2"]),
    st.sampled_from([1, 1, 1, 2]),
    st.sampled_from(["x", "x", "y"]),
    st.integers(STAMP, STAMP + 3),
    st.sampled_from(["a.1", "a.2", "a.3"]),
    st.fixed_dictionaries(
        {"to": st.just("y"), "counted": st.just(7), "prev": st.sampled_from([None, "a.1", "a.2", "b.1", "b.2"])}
    ),
)
ROWS = st.one_of(
    SOUND_ROWS,
    SOUND_ROWS,
    st.tuples(SOUND_ROWS, st.integers(0, 7), st.sampled_from([None, True, 1.5, "x", -1, {}, []])).map(
        lambda broken: [*broken[0][: broken[1]], broken[2], *broken[0][broken[1] + 1 :]]
    ),
    st.sampled_from([None, "rcv", [], ["rcv"], {"kind": "rcv"}]),
)
IDS = st.sampled_from(["a.1", "a.2", "a.3", "a.4", "b.1", "b.2", "b.3", "a.10", "A.1", "🧦", "", "\uffff", "a.1/2"])


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.dictionaries(IDS, ROWS, max_size=12), min_size=1, max_size=3))
def test_what_strangers_wrote_into_the_log_reads_alike_in_both_languages(node: Node, logs: list[Any]) -> None:
    read_strangers(node, logs)


def row(kind: str, rid: str, after: int, ref: str | None = None, **ext: Any) -> list[Any]:
    return [kind, "shirt", "A", 2, rid, STAMP + after, ref, ext]


KEPT_LOGS: tuple[list[dict[str, Any]], ...] = (
    # Somebody else ends a hold; and again, where its holder does, too, later and under a greater id.
    [{"a.1": row("hold", "x", 0), "a.2": row("rel", "y", 1, "a.1")}],
    [{"a.1": row("hold", "x", 0), "a.2": row("rel", "y", 1, "a.1"), "b.1": row("conf", "x", 2, "a.1")}],
    # An id holds nothing in the first document that has it, and a movement in the next one.
    [{"a.1": None}, {"a.1": row("backorder", "x", 0)}],
    # A shipment is booked in by three, the first one last.
    [{"a.1": row("ship", "x", 0, to="B"), "b.1": row("recv", "y", 2, "a.1"), "b.2": row("recv", "x", 1, "a.1")}],
    # Two count without seeing each other, a third after one of them; one finds more than the books say.
    [{"a.1": row("cnt", "x", 1, counted=2), "a.2": row("cnt", "y", 2, counted=2)}],
    [{"a.1": row("cnt", "x", 1, counted=2), "a.3": row("cnt", "y", 3, counted=4, prev="a.1")}],
)


@pytest.mark.parametrize("logs", KEPT_LOGS)
def test_what_only_one_of_several_entries_may_do_is_the_same_one_in_both_languages(node: Node, logs: list[Any]) -> None:
    read_strangers(node, logs)


def read_strangers(node: Node, logs: list[dict[str, Any]]) -> None:
    """The page gets the entries one by one, in another order than Python has them."""
    replica = Replica("x", history={})
    periods = [f"2026-0{number}" for number in range(1, len(logs) + 1)]
    node.result("x", "open", {"replica": "x", "period": periods[-1], "others": periods, "nowMs": NOW_MS})
    for period, entries in reversed([*zip(periods, logs, strict=True)]):
        replica.history[period] = DocRoots()
        for key, value in reversed(entries.items()):
            replica.history[period].put("mv", key, value)
            node.result("x", "put", period, "mv", key, value)
            node.result("x", "inventory", "stockTable")
    replica.movements, replica.period = replica.history.pop(periods[-1]), periods[-1]
    look = sorted_look(node.result("x", "look"))
    node.result("x", "close")
    assert look == look_of(replica.inventory)


def test_rules_settle_alike_and_what_can_not_be_read_is_listed_alike(node: Node) -> None:
    page, till = PageActor(node, "web.1"), PythonActor("till-1")
    entries: list[tuple[str, str, Any]] = [
        ("rules", "merge/price", "max"), ("rules", "merge/tags", "union"), ("rules", "merge/name", "average"),
        ("rules", "merge/$life", "max"), ("rules", "rights/keep", 101), ("rules", "rights/lapse", None),
        ("rules", "metrics/width", 60.5), ("rules", "quality/x", []), ("rules", "unknown", 1),
        ("incident", "oversold/shirt/A/a.1", [1, {"units": -1, "movements": []}]), ("incident", "late/shirt", [1, {}]),
        ("incident", "orphan/shirt/A/", [1]), ("incident", "counts/shirt/A/a.1", [1, {}, "x"]),
        ("conflict", "shirt/price|!-1.2", [None]), ("resolve", "shirt/price|1.2", {"tips": ["3.4"], "how": "x", "v": 1,
         "by": "y", "t": 1}), ("resolve", "nothing", 1), ("periods", "2026-13", 1), ("meta", "epoch", "x"),
    ]  # fmt: skip
    page.act(Command("add_product", ["shirt"]))
    for root, key, value in entries:
        node.result("web.1", "put", "catalog", root, key, value)
    page._share()
    exchange(page, till, ())
    for actor, price, tags in ((page, 1, ["a"]), (till, 2, ["b"])):
        actor.act(Command("set_attribute", ["shirt", "price", price]))
        actor.act(Command("set_attribute", ["shirt", "tags", tags]))
    meet([page, till])
    assert page.look() == till.look()
    page.act(Command("settle_conflicts"))
    meet([page, till])
    assert page.look() == till.look()
    assert till.branch.look.attributes("shirt") == {"price": 2, "tags": ["a", "b"]}
    page.close()


def test_what_a_page_writes_is_signed(node: Node) -> None:
    page, till = PageActor(node, "web.1"), PythonActor("till-1")
    page.act(Command("add_product", ["shirt"]))
    exchange(page, till, ())
    for actor, price in ((page, 1), (till, 2)):
        actor.act(Command("set_attribute", ["shirt", "price", price]))
    exchange(page, till, ())
    [conflict] = till.branch.look.conflicts()
    assert {one.device: one.value for one in conflict.siblings} == {"web.1": 1, "till-1": 2}
    page.close()
