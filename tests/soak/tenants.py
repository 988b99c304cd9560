"""Does anything of one tenant's documents ever reach a bearer of another tenant's token?"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.integration.asgi_client import open_asgi
from tests.integration.tenant_attempts import attack
from tests.integration.test_tenants import DOCUMENTS, WIDE, victims_own
from tests.soak.report import Soak, soak

ATTEMPTS = 1_000_000
BATCH_ATTEMPTS = 10_000


async def batch(it: Soak, folder: Path, seed: int) -> None:
    async with open_asgi(folder, **WIDE) as client:
        for document in DOCUMENTS:
            if not await victims_own(client, folder, document):
                it.broken(f"the victim itself does not find {document}")
        for leak in await attack(client, folder / "secret.key", seed, BATCH_ATTEMPTS // 2, it.reached):
            it.broken(leak)


def run(it: Soak) -> None:
    """Batches of seeds that follow each other, each at a relay of its own, without sockets."""
    for number in range(-(-it.times(ATTEMPTS) // BATCH_ATTEMPTS)):
        with TemporaryDirectory() as folder:
            asyncio.run(batch(it, Path(folder), it.seed + number))
        it.progress()


if __name__ == "__main__":
    sys.exit(soak(run))
