"""``crdt-sync replay retail | prices | inventree | mentions | engagement | campaigns``."""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from server.replay.campaigns import campaign_geo_weekly
from server.replay.engagement import tweet_engagement
from server.replay.inventree import inventree
from server.replay.mentions import nab_tweet_mentions
from server.replay.prices import retail_prices
from server.replay.relay_process import ROOT, ReplayFailed
from server.replay.report import RetailReport, render
from server.replay.retail import EMBEDDED, RetailOptions, replay_retail
from server.replay.retail_data import UnreadableData

EXIT_FAILED, EXIT_USAGE = 1, 2
NODE_FOLDER = ROOT / "tests" / "interop" / "node"

replay = typer.Typer(
    name="replay",
    help="Send real data through peers and a relay.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@replay.callback()
def _replay() -> None:
    """Send real data through peers and a relay, and compare the sums."""


@replay.command()
def retail(  # noqa: PLR0913, PLR0917  the command line's options, one by one
    data: Annotated[Path, typer.Option(help="online_retail.csv.gz, or the directory that it is in.")],
    peers: Annotated[int, typer.Option(min=1, help="Peers; the countries are spread over them.")] = 38,
    relay: Annotated[str, typer.Option(help="URL of a relay whose tenant is empty, or 'embedded'.")] = EMBEDDED,
    token: Annotated[str, typer.Option(help="Token for --relay URL.", envvar="CRDT_SYNC_TOKEN")] = "",
    tenant: Annotated[str, typer.Option(help="The tenant to write into.")] = "retail",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first LINES lines.", metavar="LINES")] = None,
    seed: Annotated[int, typer.Option(help="Stretches, syncs and kills are drawn from it.")] = 1,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Peer processes at a time.")] = 2,
    work: Annotated[
        Path | None, typer.Option(help="Directory that is kept, with all files; must be empty.", show_default="none")
    ] = None,
    no_node: Annotated[bool, typer.Option("--no-node", help="Don't read with a Yjs client in Node.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Replay the UCI Online Retail lines: offline peers, one edit an invoice, syncs, kills.

    Exit code 0 only when the stock that every peer, a fresh peer and a fresh Yjs client read equals the sums of the
    file, and the embedded relay's files verify.
    """
    with ExitStack() as stack:
        folder = work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crdt-sync-replay-")))
        if work is not None and work.exists() and any(work.iterdir()):
            raise typer.BadParameter(f"{work} is not empty", param_hint="--work")
        folder.mkdir(parents=True, exist_ok=True)
        options = RetailOptions(
            data=data, peers=peers, work=folder, relay=relay, token=token, tenant=tenant, limit=limit, seed=seed,
            processes=processes, node=None if no_node else NODE_FOLDER,
        )  # fmt: skip
        report = _run(options)
    typer.echo(render(report))
    if json_file is not None:
        json_file.write_text(json.dumps(report.figures(), indent=2) + "\n", encoding="utf-8")
    if report.differences():
        raise typer.Exit(EXIT_FAILED)


replay.command("prices")(retail_prices)
replay.command("inventree")(inventree)
replay.command("mentions")(nab_tweet_mentions)
replay.command("engagement")(tweet_engagement)
replay.command("campaigns")(campaign_geo_weekly)


def _run(options: RetailOptions) -> RetailReport:
    try:
        return asyncio.run(_until_terminated(options))
    except ReplayFailed as error:
        typer.echo(f"crdt-sync: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from None
    except UnreadableData as error:
        typer.echo(f"crdt-sync: {error}", err=True)
        raise typer.Exit(EXIT_USAGE) from None


async def _until_terminated(options: RetailOptions) -> RetailReport:
    """SIGTERM ends the replay as Ctrl-C does: through its finally blocks, which end its processes."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await replay_retail(options)
    except asyncio.CancelledError:
        raise ReplayFailed("the replay was stopped") from None
