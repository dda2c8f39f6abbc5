"""`shortlist …`: one command a step, people's text on standard error, machines' JSON on standard output.

Exit codes: 0 done, 1 the work failed, 2 the command or the configuration is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.progress import Progress

from pipeline import cli_decision, cli_evaluate, cli_people, cli_rules, cli_snapshots, clock, config
from pipeline.cli_common import AsOf, ConfigFile, IdType, Json, answer, day, people, prepare, progress
from pipeline.errors import ConfigurationError, ShortlistError

app = typer.Typer(
    name="shortlist",
    help="Nightly ranked content for every person, from the exports you already have.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_decision.app)
app.add_typer(cli_evaluate.app)
app.add_typer(cli_people.app)
app.add_typer(cli_rules.app)
app.add_typer(cli_snapshots.app)


def main() -> None:
    """The console script: errors that we raise become one message and an exit code."""
    try:
        app()
    except ConfigurationError as error:
        _fail(error, 2)
    except ShortlistError as error:
        _fail(error, 1)
    except KeyboardInterrupt:
        people.print("\nStopped. Nothing half-done is visible to readers; run the same command again.")
        sys.exit(130)


def _fail(error: Exception, code: int) -> NoReturn:
    people.print("[bold red]error:[/]", end=" ")
    people.print(str(error), markup=False, soft_wrap=True)
    sys.exit(code)


# ---------------------------------------------------------------- the night


@app.command()
def run(
    config_file: ConfigFile = None,
    as_of: AsOf = None,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train a challenger whatever the drift check says.")
    ] = False,
    as_json: Json = False,
) -> None:
    """One whole night: the real DAGs, `ingest` then `personalize`, in this process."""
    settings, night = prepare(config_file, as_of)
    from pipeline import local_airflow, summary

    with progress() as bars:
        results = local_airflow.run_dags(settings.file, night, retrain, _task_reporter(bars))
    report = {"as_of": night.isoformat(), **{name.split(".")[1]: value for name, value in results.items()}}
    answer(report, as_json, lambda: summary.night(report, settings, people))


def _task_reporter(bars: Progress) -> Callable[[str, str, int, str], None]:
    """A line a task; mapped tasks share one and count."""
    lines: dict[str, Any] = {}

    def on_task(dag_id: str, task_id: str, map_index: int, state: str) -> None:
        name = f"{dag_id}: {task_id}"
        if name not in lines:
            lines[name] = bars.add_task(name, total=None)
        if state == "running":
            return
        done = {"success": "", "skipped": " (skipped)", "failed": " (failed)"}[state]
        bars.update(lines[name], description=name + done, advance=1)
        if map_index < 0:
            bars.update(lines[name], total=1, completed=1)

    return on_task


# ---------------------------------------------------------------- one step at a time


@app.command()
def ingest(
    config_file: ConfigFile = None,
    as_of: AsOf = None,
    start: Annotated[str | None, typer.Option("--start-date", help="First day to load (YYYY-MM-DD).")] = None,
    end: Annotated[str | None, typer.Option("--end-date", help="Last day to load, included.")] = None,
    as_json: Json = False,
) -> None:
    """Load exports into the lake: what is new, late or asked for."""
    settings, night = prepare(config_file, as_of)
    from pipeline import ingest as step
    from pipeline import summary

    with progress() as bars:
        line = bars.add_task("ingest", total=None)
        report = step.run(
            night,
            settings,
            start=day(start),
            end=day(end),
            on_unit=lambda done, of: bars.update(line, completed=done, total=of),
        )
    answer(report.to_json(), as_json, lambda: summary.ingested(report, people))


@app.command()
def features(
    config_file: ConfigFile = None,
    as_of: AsOf = None,
    explain: Annotated[
        str | None,
        typer.Option(
            "--explain",
            metavar="PERSON",
            help="Build nothing: say in words what a night knew of this customer, visitor or e-mail address. Without "
            "--as-of, of the newest night that was built.",
        ),
    ] = None,
    id_type: IdType = None,
    as_json: Json = False,
) -> None:
    """Build the night's features; or explain those of one person."""
    settings, night = prepare(config_file, as_of)
    if explain is None:
        _build_features(night, settings, as_json)
        return
    from pipeline import explain as step

    report = step.run(explain, night if as_of else step.latest(night, settings), settings, id_type)
    answer(report.to_json(), as_json, lambda: step.draw(report, people))


def _build_features(night: datetime, settings: config.Config, as_json: bool) -> None:
    from pipeline import build_features, summary

    with progress() as bars:
        line = bars.add_task(f"features for {night.isoformat()}: slices of people", total=None)
        built = build_features.run(
            night, settings, on_slice=lambda done, of: bars.update(line, completed=done, total=of)
        )
    report = built.to_json()
    answer(report, as_json, lambda: summary.step("build_features", report, people))


@app.command()
def grade(config_file: ConfigFile = None, as_of: AsOf = None, as_json: Json = False) -> None:
    """Grade the published tables whose outcome has matured."""
    _step("grade", config_file, as_of, as_json)


@app.command()
def drift(
    config_file: ConfigFile = None,
    as_of: AsOf = None,
    retrain: Annotated[bool, typer.Option("--retrain", help="Ask for a training whatever the check says.")] = False,
    as_json: Json = False,
) -> None:
    """Decide whether a new model is warranted, and say why."""
    _step("check_drift", config_file, as_of, as_json, retrain=retrain)


@app.command()
def train(
    config_file: ConfigFile = None,
    as_of: AsOf = None,
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds",
            min=1,
            help="Record and promote nothing: judge the champion's parameters at this many earlier origins.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a challenger on replayed nights; promote it if the gate says so."""
    settings, night = prepare(config_file, as_of)
    if folds is not None:
        _judge(night, settings, folds, as_json)
        return
    from pipeline import summary
    from pipeline import train as step

    with progress() as bars:
        line = bars.add_task("train: replaying nights", total=None)
        report = step.run(
            night,
            settings,
            on_trial=lambda goal, trial: bars.update(line, description=f"train: {goal}, trial {trial.number}"),
        )
    answer(report.to_json(), as_json, lambda: summary.step("train", report.to_json(), people))


def _judge(night: datetime, settings: config.Config, folds: int, as_json: bool) -> None:
    from pipeline import rolling

    with progress() as bars:
        line = bars.add_task("train: rolling origins", total=folds)
        report = rolling.run(
            night, settings, folds, on_fold=lambda done, of: bars.update(line, completed=done, total=of)
        )
    answer(report.to_json(), as_json, lambda: rolling.draw(report, people))


@app.command()
def replay(
    first: Annotated[str, typer.Option("--from", help="The first night: a date (its midnight) or an instant.")],
    last: Annotated[str, typer.Option("--to", help="The last night, included.")],
    config_file: ConfigFile = None,
    out: Annotated[Path | None, typer.Option("--out", help="A folder for each night's lists, as Parquet.")] = None,
    as_json: Json = False,
) -> None:
    """What Shortlist would have earned on past nights, beside simple rankings. Publishes nothing."""
    settings, start = prepare(config_file, first)
    end = clock.parse_instant(last, settings.project.timezone)
    from pipeline import replay as step
    from pipeline import summary

    with progress() as bars:
        line = bars.add_task("replay", total=None)
        report = step.run(
            start,
            end,
            settings,
            out=out,
            on_night=lambda what, done, of: bars.update(line, description=what, completed=done, total=of),
        )
    answer(report.to_json(), as_json, lambda: summary.replay(report, people))


@app.command()
def rank(config_file: ConfigFile = None, as_of: AsOf = None, as_json: Json = False) -> None:
    """Make the night's lists."""
    _step("rank", config_file, as_of, as_json)


@app.command()
def publish(config_file: ConfigFile = None, as_of: AsOf = None, as_json: Json = False) -> None:
    """Audit the night's lists and publish them."""
    settings, night = prepare(config_file, as_of)
    from pipeline import publish as step
    from pipeline import summary

    with progress() as bars:
        line = bars.add_task(f"publish for {night.isoformat()}", total=None)
        report = step.run(
            night,
            settings,
            on_file=lambda what, done, of: bars.update(line, description=what, completed=done, total=of),
        ).to_json()
    answer(report, as_json, lambda: summary.step("publish", report, people))


@app.command()
def housekeep(config_file: ConfigFile = None, as_of: AsOf = None, as_json: Json = False) -> None:
    """Remove old snapshots, old table versions and leftovers."""
    _step("housekeep", config_file, as_of, as_json)


@app.command()
def alert(
    config_file: ConfigFile = None,
    as_of: AsOf = None,
    overdue: Annotated[
        bool, typer.Option("--overdue", help="The night should be published by now: tell it if it is not.")
    ] = False,
    test: Annotated[
        bool, typer.Option("--test", help="Send a test message to every address, and look at nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tell people what went wrong, or right, since the last time."""
    settings, night = prepare(config_file, as_of)
    from pipeline import alert as step

    if test:
        took = step.test(settings)
        answer(took, as_json, lambda: step.draw_test(took, settings, people))
        raise typer.Exit(not took or not all(took.values()))
    report = step.run(night, settings, overdue=overdue)
    answer(report.to_json(), as_json, lambda: step.draw(report, settings, people))


def _step(verb: str, config_file: Path | None, as_of: str | None, as_json: bool, **options: Any) -> None:
    settings, night = prepare(config_file, as_of)
    from importlib import import_module

    from pipeline import summary

    with people.status(f"{verb.replace('_', ' ')} for {night.isoformat()}"):
        report = import_module(f"pipeline.{verb}").run(night, settings, **options).to_json()
    answer(report, as_json, lambda: summary.step(verb, report, people))


# ---------------------------------------------------------------- looking


@app.command()
def show(
    person: Annotated[str, typer.Argument(help="The person's own id: a customer's or a visitor's.")],
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """A person's published list, with scores and reasons."""
    settings = config.load(config_file)
    from pipeline import show as step

    rows = step.run(person, settings)
    answer({"person": person, "rows": rows}, as_json, lambda: step.draw(rows, people))


@app.command()
def doctor(config_file: ConfigFile = None, as_json: Json = False) -> None:
    """Check the configuration, the sources, the key and the disk; print every effective setting."""
    settings = config.load(config_file)
    from pipeline import doctor as step

    report = step.run(settings)
    answer(report.to_json(), as_json, lambda: step.draw(report, people))
    if not report.healthy:
        raise typer.Exit(1)


@app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", help="Folder for the exports.")],
    days: Annotated[int, typer.Option(min=1)] = 30,
    people_count: Annotated[int, typer.Option("--people", min=10)] = 2000,
    content: Annotated[int, typer.Option(min=10)] = 300,
    seed: int = 7,
    end: Annotated[str | None, typer.Option("--end", help="Last exported day (YYYY-MM-DD); else yesterday.")] = None,
    shift: Annotated[
        str | None, typer.Option("--shift", help="From this day on people care for other categories; else never.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write exports of a made-up company, in its vendors' real formats, to try things out on."""
    from pipeline import simulate as step
    from pipeline import summary

    last = day(end) or datetime.now(UTC).date() - timedelta(days=1)
    with progress() as bars:
        line = bars.add_task("simulate", total=days)
        report = step.run(
            out,
            days=days,
            people=people_count,
            content=content,
            seed=seed,
            end=last,
            shift=day(shift),
            progress=lambda done, of: bars.update(line, completed=done, total=of),
        )
    found = asdict(report)
    answer(found, as_json, lambda: summary.step("simulate", found, people))


@app.command()
def up(config_file: ConfigFile = None) -> None:
    """Start Airflow and MLflow on this machine's loopback; Ctrl-C stops them all."""
    settings = config.load(config_file)
    from pipeline import up as step

    step.run(settings.file)
