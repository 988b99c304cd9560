"""100,000 attempts of one tenant to reach another's documents, at the whole application: nothing comes of them."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from server.auth.tokens import issue_token
from server.storage.tenants import tenants_on_disk
from tests.integration.asgi_client import AsgiClient, Asked, open_asgi
from tests.integration.tenant_attempts import ASK, ATTACKER, THERE, VICTIM, attack, filling, what_leaks

ATTEMPTS: Final = int(os.environ.get("CRDT_SYNC_TENANT_ATTEMPTS", "25000"))
"""For each seed."""
DOCUMENTS: Final = (THERE, f"plans/{THERE}")
WIDE: Final[dict[str, Any]] = dict.fromkeys(
    ("wrong_tokens_per_s", "user_requests_per_s", "user_messages_per_s", "tenant_messages_per_s"), 1_000_000
)
"""An attacker that is only slowed down proves nothing."""


async def victims_own(client: AsgiClient, data: Path, document: str) -> bool:
    """Whether the victim's token finds the secret: else nobody could leak it. Fills the document in the first place."""
    token = issue_token(
        data / "secret.key", tenant=VICTIM, role="operator", subject="bob", ttl_s=600, now_s=time.time()
    )
    await client.ask(filling(document)._replace(query=f"token={token}"))
    read = Asked("GET", f"/ws/{VICTIM}/{document}", f"token={token}", frames=(ASK,), answers=2)
    return what_leaks(await client.ask(read)) is not None


@pytest.mark.parametrize("seed", [1, 2, 3, 20261120])
async def test_no_attempt_reaches_another_tenants_documents(tmp_path: Path, seed: int) -> None:
    reached: Counter[str] = Counter()
    async with open_asgi(tmp_path, **WIDE) as client:
        for document in DOCUMENTS:
            assert await victims_own(client, tmp_path, document)
        assert await attack(client, tmp_path / "secret.key", seed, ATTEMPTS // 2, reached) == []
        store = await client.relay.tenants.store(VICTIM)
        assert sorted(await store.documents()) == sorted(DOCUMENTS)
    assert set(tenants_on_disk(tmp_path)) <= {ATTACKER, VICTIM}
    assert reached["attempts"] == ATTEMPTS
    assert reached["status 101"] > ATTEMPTS / 10
    assert reached["status 403"]
