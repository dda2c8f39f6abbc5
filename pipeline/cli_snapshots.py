"""`shortlist` commands about what was published, and by which model: snapshots, diff, rollback, rollback-model …"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pipeline import config
from pipeline.cli_common import AsOf, ConfigFile, Json, answer, people, prepare

app = typer.Typer()


@app.command()
def snapshots(config_file: ConfigFile = None, as_json: Json = False) -> None:
    """Every published snapshot: people, rows, strategies, models, size, and which one serves."""
    settings = config.load(config_file)
    from pipeline import list_snapshots as step

    report = step.run(settings)
    answer(report.to_json(), as_json, lambda: step.draw(report, people))


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="A snapshot, or how its name begins; else all.")] = None,
    stores: Annotated[bool, typer.Option("--stores", help="Read what the object stores have, too.")] = False,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Check every published byte against its manifest, and CURRENT; ends with 1 when anything is wrong."""
    settings = config.load(config_file)
    from pipeline import verify_snapshots as step

    with people.status("reading what was published"):
        report = step.run(settings, name, stores=stores)
    answer({**report.to_json(), "whole": report.whole}, as_json, lambda: step.draw(report, people))
    if not report.whole:
        raise typer.Exit(1)


@app.command()
def diff(
    old: Annotated[str | None, typer.Argument(help="A snapshot, or how its name begins; else the one before.")] = None,
    new: Annotated[str | None, typer.Argument(help="Another one; else the one that serves.")] = None,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """How people's lists differ between two snapshots, and why."""
    settings = config.load(config_file)
    from pipeline import diff as step

    with people.status("comparing lists"):
        report = step.run(settings, old, new)
    answer(report.to_json(), as_json, lambda: step.draw(report, people))


@app.command()
def changes(
    out: Annotated[Path, typer.Option("--out", help="The file to write: its name ends in .csv, .jsonl or .parquet.")],
    old: Annotated[
        str | None, typer.Argument(help="A snapshot, or how its name begins; else the latest of an earlier night.")
    ] = None,
    new: Annotated[str | None, typer.Argument(help="Another one; else the one that serves.")] = None,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Write the lists of people whose list changed between two snapshots, and who has none any more."""
    settings = config.load(config_file)
    from pipeline import changes as step

    with people.status("comparing lists"):
        report = step.run(settings, out, old, new)
    answer(report.to_json(), as_json, lambda: step.draw(report, people))


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(help="The snapshot that shall serve, or how its name begins.")],
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Let an older snapshot serve again, until the next publication."""
    settings, _ = prepare(config_file, None)
    from pipeline import rollback as step

    with people.status("checking what shall serve"):
        report = step.run(datetime.now(UTC), settings, name)
    answer(report.to_json(), as_json, lambda: step.draw(report, people))


@app.command()
def rollback_model(
    to: Annotated[str | None, typer.Option("--to", help="A version that served; else the one promoted before.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why, for the record in MLflow.")] = None,
    config_file: ConfigFile = None,
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """Let the model that served before make the lists again, from this night on."""
    settings, night = prepare(config_file, as_of)
    from pipeline import rollback_model as step

    with people.status("checking the model that shall serve"):
        report = step.run(night, settings, to, reason or step.BY_HAND)
    answer(report.to_json(), as_json, lambda: step.draw(report, people))
