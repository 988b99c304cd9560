"""What a bearer of one tenant's tokens may try to reach another tenant's documents: names, tokens, ids, encodings.

Tenant ``acme`` attacks tenant ``bravo``. Every attempt is made twice: about a document that bravo has and about one
that nobody has. Whoever can tell the answers apart has learned that a document exists.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import quote

from crdt_sync.protocol import hocuspocus, y_websocket
from crdt_sync.protocol.messages import NewUpdate, Presence, PresenceEntry, StateRequest
from crdt_sync.protocol.wire import blob, text
from crdt_sync.values import RoomId
from server.auth.tokens import issue_token
from tests.integration.asgi_client import AsgiClient, Asked, Told
from tests.integration.raw_member import Author
from tests.unit.server.tokens import CLAIMS, segment, signed

ATTACKER: Final = "acme"
VICTIM: Final = "bravo"
THERE, NOT_THERE = "kernel", "jernel"
"""A document of the victim, and a name that nobody uses; they differ in one letter, see :func:`without_names`."""
CONTENT: Final = "what bravo keeps in its documents"
PRESENCE: Final = "who is in documents of bravo"
TICKETS_MAX: Final = 40
SIGNS_OF_LIFE: Final = (y_websocket.SIGN_OF_LIFE, hocuspocus.PING)
ASK: Final = y_websocket.encode(StateRequest({}))
FRESH: Final = re.compile(rb"ticket_[\w-]+|eyJ[\w.-]+")
"""Tickets and tokens for the attacker's own documents; no two are alike."""
ONE_LETTER: Final = (
    (b"k", b"j"), (b"K", b"J"), (b"\x8b", b"\x8a"), (b"8b", b"8a"), (b"8B", b"8A"), (b"4b", b"4a"), (b"6b", b"6a"),
)  # fmt: skip
"""How the letter in which the two names differ may come back, also escaped, also of full width.

Neither makes an escape of JSON after a backslash."""
FULLWIDTH: Final = {ord(char): ord(char) + 0xFEE0 for char in "abcdefghijklmnopqrstuvwxyz/."}


class Attempts:
    """An endless source of attempts, for one victim."""

    def __init__(self, client: AsgiClient, secret: Path, random: Random) -> None:
        self._client, self._secret, self._random = client, secret, random
        self._tickets = 0
        self._own = self._token()
        self._narrow = self._token(documents=["plans/*"], role="viewer")
        self._tokens = (self._own, self._narrow, *self._forged())

    def _token(self, **claims: Any) -> str:
        wanted: dict[str, Any] = {
            "tenant": ATTACKER,
            "role": "operator",
            "subject": "mallory",
            "ttl_s": 3_600,
            **claims,
        }
        return issue_token(self._secret, now_s=time.time(), **wanted)

    def _forged(self) -> Sequence[str]:
        """Tokens that say ``bravo`` in every way but a right signature."""
        now_s = int(time.time())
        claims = {**CLAIMS, "tenant": VICTIM, "docs": ["*"], "iat": now_s - 10, "exp": now_s + 600}
        head, payload, signature = self._own.split(".")
        twice = b'{"tenant":"acme","tenant":"bravo"}'
        return (
            signed(claims),
            signed(claims, header={"alg": "none"}),
            f"{segment({'alg': 'none'})}.{segment(claims)}.",
            f"{head}.{segment(claims)}.{signature}",
            f"{head}.{payload}.",
            f"{head}.{payload}=.{signature}",
            f"{head}.{segment(twice)}.{signature}",
            f"{self._own}.{self._own}",
            self._own.swapcase(),
            f"{VICTIM}",
            "",
        )

    def next(self, name: str) -> Asked:
        """An attempt to reach the victim's document ``name``; the same seed makes the same one for each name."""
        random = self._random
        kind = random.choice(
            ("ws", "ws", "y-sweet", "multiplexed", "multiplexed", "hocuspocus", "hocuspocus", "http", "http")
        )
        document = self._document(name)
        match kind:
            case "ws":
                path = f"/ws/{self._escaped(self._tenant())}/{self._escaped(document)}"
                return self._websocket(path, (ASK,), 1)
            case "y-sweet":
                doc_id = self._escaped(document)
                return self._websocket(f"/d/{doc_id}/ws/{doc_id}", (ASK,), 1)
            case "multiplexed":
                tenant = ATTACKER if random.random() < 0.7 else self._escaped(self._tenant())
                return self._websocket(f"/sync/{tenant}", (_addressed(document, random) + ASK,), 1)
            case "hocuspocus":
                tenant = random.choice((ATTACKER, VICTIM)) if random.random() < 0.8 else self._escaped(self._tenant())
                address = _addressed(document + random.choice(("", "", "\x00tab", "\x00", "\x00bravo")), random)
                token = b"\x02\x00" + text(self._secret_shown()) + text("4.0")
                return Asked("GET", f"/hocuspocus/{tenant}", frames=(address + token, address + ASK), answers=1)
        return self._request(self._escaped(document))

    def _request(self, doc_id: str) -> Asked:
        raw_id = doc_id.encode("utf-8", "surrogateescape")
        name, body, method = self._random.choice((
            ("/doc/{}/auth", b"{}", "POST"),
            ("/d/{}/as-update", b"", "GET"),
            ("/d/{}/update", b"\x00\x00", "POST"),
            ("/doc/new", b'{"docId":"%s"}' % raw_id, "POST"),
            ("/api/v1/documents/retire", b'{"tenant":"bravo","document":"%s"}' % raw_id, "POST"),
            ("/api/v1/tickets", b'{"tenant":"bravo"}', "POST"),
            ("/check_store", b'{"tenant":"bravo"}', "POST"),
        ))  # fmt: skip
        return self._with_credential(Asked(method, name.format(doc_id), body=body))

    def _websocket(self, path: str, frames: tuple[bytes, ...], answers: int) -> Asked:
        return self._with_credential(Asked("GET", path, frames=frames, answers=answers))

    def _secret_shown(self) -> str:
        return self._own if self._random.random() < 0.5 else self._random.choice(self._tokens)

    def _with_credential(self, asked: Asked) -> Asked:
        random, secret = self._random, self._secret_shown()
        chance = random.random()
        if chance < 0.6:
            return asked._replace(query=f"token={quote(secret)}" + random.choice(("", "&tenant=bravo", "&token=")))
        if chance < 0.8:
            return asked._replace(headers=(("authorization", f"Bearer {secret}"),))
        if chance < 0.9:
            offered = f"crdt-sync, bearer.{secret}"
            return asked._replace(
                headers=(("sec-websocket-protocol", offered),), subprotocols=tuple(offered.split(", "))
            )
        if chance < 0.95:
            return asked._replace(query=f"ticket={quote(self._ticket())}")
        return asked._replace(query=f"token={quote(secret)}", headers=(("authorization", f"Bearer {self._narrow}"),))

    def _ticket(self) -> str:
        # Those that nobody redeems are bounded, for each tenant.
        self._tickets += 1
        if self._tickets > TICKETS_MAX:
            return "ticket_" + "A" * 43
        grant = self._client.relay.door.admit_to(RoomId(ATTACKER, "plans/own"), self._own)
        return self._client.relay.door.tickets.issue(grant, time.time())

    def _tenant(self) -> str:
        random = self._random
        return random.choice((
            VICTIM, VICTIM, VICTIM.title(), VICTIM.upper(), VICTIM + "\x00", VICTIM + " ", VICTIM + ".", " " + VICTIM,
            VICTIM.translate(FULLWIDTH), f"{VICTIM}\u200b", f"../{VICTIM}", f"{ATTACKER}/../{VICTIM}",
            f"{ATTACKER}\\..\\{VICTIM}", f"{ATTACKER},{VICTIM}", f"{VICTIM}.db", f"{ATTACKER}\n{VICTIM}", "", ".", "..",
            "*", "%", VICTIM * 60, ATTACKER, ATTACKER,
        ))  # fmt: skip

    def _document(self, name: str) -> str:
        random = self._random
        plain = random.choice((name, f"plans/{name}"))
        return random.choice((
            plain, plain, plain, plain.upper(), plain.translate(FULLWIDTH), f"{VICTIM}/{plain}", f"../{VICTIM}/{plain}",
            f"../../{VICTIM}/{plain}", f"..\\{VICTIM}\\{plain}", f"/{VICTIM}/{plain}", f"//{plain}", f"{plain}/",
            f"./{plain}", f"x/../{plain}", f"{plain}\x00", f"{VICTIM}\x00{plain}", f"{plain}\u200b", f"{plain}e\u0301",
            f"{plain}é", unicodedata.normalize("NFD", f"é{plain}"), f"{plain} ", f"{plain}*", f"{plain}#",
            f"{plain}?tenant={VICTIM}", f"{plain}@2", f"{plain}/ws/{plain}", f"{plain}{'x' * 300}", f"{plain}\udcff",
            f"\udcfe{plain}", f"{ATTACKER}/{plain}", f"{VICTIM}:{plain}", f"{VICTIM}%2f{plain}", f"{plain};{VICTIM}",
        ))  # fmt: skip

    def _escaped(self, name: str) -> str:
        """The name in a path: as it is, escaped, or escaped twice, whole or in part."""
        chance = self._random.random()
        with suppress(UnicodeEncodeError):
            if chance < 0.4:
                return quote(name, safe="/", errors="surrogateescape")
            if chance < 0.6:
                return quote(name, safe="", errors="surrogateescape")
            if chance < 0.7:
                return quote(quote(name, safe="", errors="surrogateescape"), safe="")
            if chance < 0.85:
                return "".join(f"%{byte:02x}" for byte in name.encode("utf-8", "surrogateescape"))
            if chance < 0.9:
                return name.replace("e", "%e0%81%a5").replace("/", "%c0%af")
        return name.replace("?", "%3f").replace("#", "%23")


def _addressed(document: str, random: Random) -> bytes:
    """The document's name at the head of a frame, with a length that lies sometimes."""
    raw = document.encode("utf-8", "surrogateescape")
    if random.random() < 0.03:
        return bytes((max(0, min(127, len(raw) + random.choice((-1, 1)))),)) + raw
    return blob(raw)


def what_leaks(told: Told) -> str | None:
    """What of the victim's is in an answer."""
    for what in (CONTENT, PRESENCE):
        if what.encode() in told.everything:
            return what
    return None


def without_names(told: Told) -> tuple[int, bytes]:
    """An answer that must be the same for a document that is there and one that is not."""
    # What follows the first frame may be cut off by the end of the attempt.
    answers = [frame for frame in told.frames if frame not in SIGNS_OF_LIFE]
    said = FRESH.sub(b"", b"\n".join((told.heard, *answers[:1])))
    for one, other in ONE_LETTER:
        said = said.replace(one, other)
    return told.status, said


def filling(document: str) -> Asked:
    """The victim's own edit of a document."""
    update = y_websocket.encode(NewUpdate(Author(7).put("secret", CONTENT)))
    here = y_websocket.encode(Presence((PresenceEntry(7, 1, f'{{"name":"{PRESENCE}"}}'),)))
    return Asked("GET", f"/ws/{VICTIM}/{document}", frames=(ASK, here, update), answers=3)


async def attack(client: AsgiClient, secret: Path, seed: int, pairs: int, reached: Counter[str]) -> list[str]:
    """Make ``2 * pairs`` attempts; what leaked."""
    leaks = []
    source, twin = (Attempts(client, secret, Random(seed)) for _ in range(2))
    for number in range(pairs):
        asked, other = source.next(THERE), twin.next(NOT_THERE)
        told, told_other = await client.ask(asked), await client.ask(other)
        reached["attempts"] += 2
        reached[f"status {told.status}"] += 2
        reached["frames heard"] += len(told.frames) + len(told_other.frames)
        leak = what_leaks(told) or what_leaks(told_other)
        if leak is not None:
            leaks.append(f"seed {seed}, attempt {number}: {asked} brought {leak!r}")
        elif without_names(told) != without_names(told_other):
            leaks.append(f"seed {seed}, attempt {number}: {asked} tells {told} from {told_other}")
    return leaks
