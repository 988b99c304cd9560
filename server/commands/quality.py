"""``crdt-sync quality``: how good the data of a tenant is."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Annotated

import typer

from server.commands.documents import opened_store, run, tenants_named
from server.commands.options import Config, Data
from server.settings import Settings, load_settings

FINDINGS_SHOWN = 10


def quality(
    tenant: Annotated[str, typer.Argument(help="Whose documents to look at.")],
    at_least: Annotated[float, typer.Option(help="End with exit code 1 when a document scores less.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="The whole report for a program.")] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Score a tenant's documents: completeness, validity, consistency, freshness. The relay must be stopped."""
    run(_quality(tenant, load_settings(config, data_dir=data), at_least, as_json=as_json))


async def _quality(tenant: str, settings: Settings, at_least: float, *, as_json: bool) -> int:
    # Loads documents, so that no other command has to wait for it.
    from server.commands.assessment import assess_store

    tenants_named(settings.data_dir, tenant)
    async with opened_store(settings.data_dir, tenant) as store:
        report = await assess_store(store, settings.limits, time.time_ns() // 1_000_000)
    if as_json:
        documents = [{**asdict(document), "score": document.score} for document in report.documents]
        typer.echo(
            json.dumps({"score": report.score, "documents": documents}, ensure_ascii=False, default=str, indent=2)
        )
    else:
        for document in report.documents:
            score = "  -  " if document.score is None else f"{document.score:.3f}"
            parts = [f"{one.dimension} {one.score:.3f}" for one in document.assessments if one.score is not None]
            typer.echo(f"{score}  {document.document}  {', '.join(parts)}".rstrip())
            for finding in document.findings[:FINDINGS_SHOWN]:
                typer.echo(f"       {finding.subject}, {finding.field}: {finding.value!r}, expected {finding.expected}")
            if (more := len(document.findings) - FINDINGS_SHOWN) > 0:
                typer.echo(f"       and {more:,} more; --json lists them all")
    return int(any(document.score is not None and document.score < at_least for document in report.documents))
