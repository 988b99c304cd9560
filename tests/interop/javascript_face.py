"""Pages that use the JavaScript package, in one Node process, and Python branches beside them."""

from __future__ import annotations

import base64
import json
import select
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crdt_sync.documents.catalog.conflicts import Conflict
from crdt_sync.documents.catalog.siblings import Sibling
from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.roots import Draft
from crdt_sync.documents.stock.movements import Movement
from crdt_sync.errors import DocumentError
from tests.unit.documents.branches import Branch
from tests.unit.documents.replicas import NOW_MS, PERIOD

NODE_FOLDER = Path(__file__).parent / "node"
PACKAGE = Path(__file__).parents[2] / "crdt_sync" / "javascript"
DOCUMENTS = ("catalog", "movements")
DEADLINE_S = 60.0


class Node:
    """The process; see node/javascript_face.mjs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def ask(self, *command: Any) -> dict[str, Any]:
        """One command and its answer, which holds ``result``, or the ``code`` of an error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()
        # Every answer is one line, so that nothing of it waits unseen in the buffer.
        ready, _, _ = select.select([self._process.stdout], [], [], DEADLINE_S)
        line = self._process.stdout.readline() if ready else b""
        assert line, f"no answer to {command}"
        answer: dict[str, Any] = json.loads(line)
        assert "crash" not in answer, answer["crash"]
        return answer

    def result(self, *command: Any) -> Any:
        answer = self.ask(*command)
        assert "code" not in answer, answer
        return answer["result"]


@contextmanager
def open_node(package: Path = PACKAGE) -> Iterator[Node]:
    process = subprocess.Popen(
        ["node", "javascript_face.mjs", f"--package={package}"],
        cwd=NODE_FOLDER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        yield Node(process)
    finally:
        process.kill()
        process.communicate()


@dataclass(frozen=True, slots=True)
class Command:
    """An act that both languages know under one name, each in its own spelling."""

    method: str
    arguments: Sequence[Any] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def in_python(self, inventory: InventoryDocument) -> Any:
        if self.method == "resolve":
            return resolve(inventory, *self.arguments, **self.options)
        return getattr(inventory, self.method)(*self.arguments, **self.options)

    def in_javascript(self) -> list[Any]:
        if self.method == "resolve":
            return ["resolve", *self.arguments, dict(self.options)]
        options = {camel(name): value for name, value in self.options.items()}
        return ["inventory", camel(self.method), *self.arguments, options]


def resolve(inventory: InventoryDocument, key: str, **choice: Any) -> None:
    for conflict in inventory.conflicts():
        if conflict.key == key:
            conflict.resolve(**choice)


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def in_pythons_place(branch: Branch, command: Command) -> tuple[str | None, list[Any]]:
    """Why Python refuses a command, or None, and what it would write; nothing is written."""
    catalog, movements = Draft(branch.catalog), Draft(branch.movements)
    try:
        command.in_python(branch._face(catalog, movements))
    except DocumentError as error:
        return error.code, []
    writes = [*catalog.writes, *movements.writes]
    held = {"mv": branch.movements, "attr": branch.catalog, "periods": branch.catalog}
    return None, comparable(
        [(root, value) for root, key, value in writes if root in held and held[root].get(root, key) != value]
    )


def comparable(writes: Sequence[tuple[str, Any]]) -> list[Any]:
    """Writes without what must differ: ids and stamps, and what refers to an id of the same edit."""
    plain = []
    for root, value in json.loads(json.dumps(writes)):
        if root == "mv":
            kind, sku, at, units, rid, _, *rest = value
            plain.append([root, kind, sku, at, units, rid, rest[1:], [] if kind == "recv" else rest[:1]])
        elif isinstance(value, dict):
            plain.append([root, {name: inner for name, inner in value.items() if name != "t"}])
        else:
            plain.append([root, value])
    return sorted(plain, key=json.dumps)


class PythonActor:
    """A branch that keeps what it writes as updates."""

    def __init__(self, rid: str) -> None:
        self.branch = Branch(rid)
        self.log: dict[str, list[bytes]] = {name: [] for name in DOCUMENTS}

    @property
    def rid(self) -> str:
        return self.branch.rid

    @property
    def view(self) -> Branch:
        """What this actor knows, to choose commands by."""
        return self.branch

    def act(self, command: Command) -> str | None:
        before = {name: getattr(self.branch, name).state for name in DOCUMENTS}
        try:
            with self.branch.edit() as inventory:
                command.in_python(inventory)
        except DocumentError as error:
            return error.code
        for name in DOCUMENTS:
            self.log[name].append(getattr(self.branch, name).since(before[name]))
        return None

    def receive(self, name: str, update: bytes) -> None:
        hear(self.branch, name, update)
        self.log[name].append(update)

    def whole(self, name: str) -> bytes:
        return bytes(getattr(self.branch, name).snapshot())

    def look(self) -> dict[str, Any]:
        return look_of(self.branch.look)


class PageActor:
    """A page, and a Python branch that hears all that the page hears, to say what Python would do in its place."""

    def __init__(self, node: Node, rid: str) -> None:
        self._node = node
        self.rid = rid
        self.view = Branch(rid)
        self.log: dict[str, list[bytes]] = {name: [] for name in DOCUMENTS}
        node.result(rid, "open", {"replica": rid, "period": PERIOD, "nowMs": NOW_MS})

    def act(self, command: Command) -> str | None:
        expected, wanted = in_pythons_place(self.view, command)
        before = self._entries()
        answer = self._node.ask(self.rid, *command.in_javascript())
        self._share()
        actual: str | None = answer.get("code")
        assert actual == expected, f"{command}: JavaScript says {answer}, Python {expected}"
        written = [(root, value) for (root, key), value in self._entries().items() if before.get((root, key)) != value]
        assert comparable(written) == wanted, f"{command}: JavaScript and Python write different things"
        return actual

    def receive(self, name: str, update: bytes) -> None:
        self._node.result(self.rid, "merge", document_of(name), base64.b64encode(update).decode())
        hear(self.view, name, update)
        self.log[name].append(update)
        self._share()

    def whole(self, name: str) -> bytes:
        return base64.b64decode(self._node.result(self.rid, "update", document_of(name)))

    def look(self) -> dict[str, Any]:
        seen: dict[str, Any] = self._node.result(self.rid, "look")
        return sorted_look(seen)

    def close(self) -> None:
        self._node.result(self.rid, "close")

    def _entries(self) -> dict[tuple[str, str], Any]:
        documents = {"mv": self.view.movements, "attr": self.view.catalog, "periods": self.view.catalog}
        return {(root, key): value for root, one in documents.items() for key, value in one.entries(root).items()}

    def _share(self) -> None:
        for name in DOCUMENTS:
            for update in self._node.result(self.rid, "takeUpdates", document_of(name)):
                raw = base64.b64decode(update)
                hear(self.view, name, raw)
                self.log[name].append(raw)


Actor = PythonActor | PageActor


def document_of(name: str) -> str:
    return PERIOD if name == "movements" else name


def hear(branch: Branch, name: str, update: bytes) -> None:
    """Take an update in; one that came too early is dropped, and comes again in whole()."""
    if name == "catalog":
        if not branch.catalog.merge(update).gap:
            branch.hear(branch.catalog.since(branch.catalog.state))
    else:
        branch.movements.merge(update)


def exchange(giver: Actor, taker: Actor, order: Sequence[int]) -> None:
    """The taker gets the giver's updates in this order, as far as it goes, some twice, and in the end all there is."""
    for name in DOCUMENTS:
        log = list(giver.log[name])
        for place in order:
            if log:
                taker.receive(name, log[place % len(log)])
        taker.receive(name, giver.whole(name))


def meet(actors: Sequence[Actor]) -> None:
    """Everybody learns everything, also what the others have noted on the way."""
    for _ in range(2):
        for taker in actors:
            for giver in actors:
                if giver is not taker:
                    exchange(giver, taker, ())


def look_of(inventory: InventoryDocument) -> dict[str, Any]:
    """What ``look`` of node/javascript_face.mjs tells, in its spelling."""
    table = inventory.stock_table()
    return sorted_look(
        {
            "products": inventory.products(),
            "locations": inventory.locations(),
            "stock": [{"sku": sku, "location": at, "stock": units} for (sku, at), units in table.items()],
            "rights": [rights_of(inventory, *cell) for cell in table],
            "holds": [
                {
                    "movement": movement(hold.movement),
                    "state": hold.state,
                    "endedBy": hold.ended_by,
                    "untilMs": hold.until_ms,
                }
                for hold in inventory.holds()
            ],
            "conflicts": [conflict(one) for one in inventory.conflicts()],
            "resolutions": [
                {
                    "key": one.key, "mid": one.mid, "product": one.product, "location": one.location,
                    "field": one.field, "how": one.how, "value": one.value, "device": one.device, "stamp": one.stamp,
                    "siblings": [sibling(each) for each in one.siblings], "evidence": list(one.evidence),
                }
                for one in inventory.resolutions()
            ],
            "oversold": [
                {"sku": o.sku, "location": o.location, "stamp": o.stamp, "mid": o.mid, "balance": o.balance}
                for o in inventory.oversold()
            ],
            "overdrawn": [
                {"sku": sku, "location": at, "replica": rid, "units": units}
                for (sku, at, rid), units in inventory.overdrawn().items()
            ],
            "backOrders": [movement(one) for one in inventory.back_orders()],
            "inTransit": [movement(one) for one in inventory.in_transit()],
            "idleCounts": [movement(one) for one in inventory.idle_counts()],
            "faults": [{"root": fault.root, "key": fault.key, "reason": fault.reason} for fault in inventory.faults()],
            "orphans": [{"sku": sku, "location": at, "stock": n} for (sku, at), n in inventory.orphans().items()],
            "unknownKinds": inventory.unknown_kinds(),
            "refs": sorted(inventory.refs()),
            "periods": inventory.periods(),
            "requests": [
                {
                    "mid": r.mid, "sku": r.sku, "location": r.location, "rid": r.rid, "quantity": r.quantity,
                    "stamp": r.stamp, "answers": dict(r.answers), "missing": r.missing,
                }
                for r in inventory.requests()
            ],
            "movements": [movement(one) for one in inventory.movements()],
        }
    )  # fmt: skip


def sorted_look(look: dict[str, Any]) -> dict[str, Any]:
    """Without what one replica knows and another does not: its own order, and from what a sibling began."""
    for unordered in ("stock", "rights", "orphans", "inTransit"):
        look[unordered] = sorted(look[unordered], key=json.dumps)
    for listed in (*look["conflicts"], *look["resolutions"]):
        listed["siblings"] = [
            {name: one[name] for name in ("tip", "value", "isKnown", "client", "device", "stamp")}
            for one in listed["siblings"]
        ]
        listed.pop("base", None)
        listed.pop("about", None)
    plain: dict[str, Any] = json.loads(json.dumps(look))
    return plain


def rights_of(inventory: InventoryDocument, sku: str, at: str) -> list[Any]:
    rights = inventory.rights(sku, at)
    shown = {"of": dict(rights.of), "unassigned": rights.unassigned, "overdrawn": rights.overdrawn}
    return [sku, at, shown, inventory.on_hand(sku, at)]


def movement(one: Movement) -> dict[str, Any]:
    return {
        "period": one.period, "mid": one.mid, "kind": one.kind, "sku": one.sku, "location": one.location,
        "quantity": one.quantity, "rid": one.rid, "stamp": one.stamp, "ref": one.ref, "ext": dict(one.ext),
    }  # fmt: skip


def conflict(one: Conflict) -> dict[str, Any]:
    shown = {
        "key": one.key, "product": one.product, "location": one.location, "field": one.field, "kind": one.kind,
        "current": one.current, "siblings": [sibling(each) for each in one.siblings],
    }  # fmt: skip
    if one.kind == "data_inconsistency":
        shown |= {"evidence": list(one.evidence), "sentence": one.sentence}
    return shown


def sibling(one: Sibling) -> dict[str, Any]:
    return {
        "tip": one.tip, "value": one.value, "isKnown": one.is_known, "client": one.client, "device": one.device,
        "stamp": one.stamp,
    }  # fmt: skip
