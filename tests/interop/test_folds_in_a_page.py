"""The lines for pages in docs/reference/periods.md read the stock of folded periods as Python does."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.laws.periods_of_tills import PERIODS, Tills

ROOT = Path(__file__).parents[2]
YJS = Path(__file__).parent / "node" / "node_modules" / "yjs" / "dist" / "yjs.mjs"
pytestmark = pytest.mark.interop


@pytest.mark.skipif(
    shutil.which("node") is None or not YJS.is_file(), reason="the JavaScript clients are not installed: run make test"
)
def test_a_page_reads_folded_stock_from_the_catalog_alone(tmp_path: Path) -> None:
    shops = Tills.open(2)
    for period in PERIODS[:2]:
        for till in range(2):
            shops.act(till, period, lambda inventory: inventory.receive("shirt", 5, at="A"))
            shops.act(till, period, lambda inventory: inventory.receive("shirt", 2**53 - 1, at="B"))
            shops.act(till, period, lambda inventory: inventory.sell("cap", 3, at="B"))
        shops.meet()
        shops.close(period)
        shops.meet()
        # The second one folds first, so that one folder's entries are behind the other's.
        for till in (1, 1, 0) if period == PERIODS[0] else (0, 0):
            shops.fold(till)
        shops.meet()
    [lines] = re.findall(r"```js\n(.*?)```", (ROOT / "docs/reference/periods.md").read_text(), re.DOTALL)
    state = base64.b64encode(shops.tills[0].catalog.doc.get_update()).decode()
    page = tmp_path / "page.mjs"
    page.write_text(
        f"import * as Y from {json.dumps(YJS.as_uri())}\n{lines}\n"
        f"const catalog = new Y.Doc()\nY.applyUpdate(catalog, Buffer.from({json.dumps(state)}, 'base64'))\n"
        "console.log(JSON.stringify([...foldedStock(catalog)]))\n"
    )
    run = subprocess.run(["node", page], capture_output=True, text=True, check=True, timeout=60)
    table = {"/".join(cell): units for cell, units in shops.tills[0].read().stock_table().items()}
    assert {key: float(units) for key, units in table.items()} == dict(json.loads(run.stdout))
    assert table["shirt/A"] == 20
