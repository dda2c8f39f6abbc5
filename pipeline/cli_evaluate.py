"""`shortlist evaluate`: what other lists would have been worth, by what was published."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline import clock
from pipeline.cli_common import AsOf, ConfigFile, Json, answer, people, prepare, progress
from pipeline.errors import ConfigurationError

app = typer.Typer()


@app.command()
def evaluate(
    off_policy: Annotated[
        bool, typer.Option("--off-policy", help="By published lists that were drawn by lot (`ranking.temperature`).")
    ] = False,
    config_file: ConfigFile = None,
    as_of: AsOf = None,
    first: Annotated[str | None, typer.Option("--from", help="The first night; else the oldest published.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last night, included; else the newest.")] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", min=0, help="Of the lists to judge; 0: the best first.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What today's configuration and model would have earned on nights whose lists were drawn by lot."""
    settings, night = prepare(config_file, as_of)
    if not off_policy:
        raise ConfigurationError(
            "evaluate: say by what. There is --off-policy: by published lists that were drawn by lot. Beside it "
            "`shortlist replay` grades what past nights would have listed, and `shortlist grade` what was published."
        )
    from pipeline import evaluate as step

    start, end = (None if one is None else clock.parse_instant(one, settings.project.timezone) for one in (first, last))
    with progress() as bars:
        line = bars.add_task("evaluate: nights", total=None)
        report = step.run(
            night,
            settings,
            first=start,
            last=end,
            temperature=temperature,
            on_night=lambda done, of: bars.update(line, completed=done, total=of),
        )
    answer(report.to_json(), as_json, lambda: step.draw(report, people))
