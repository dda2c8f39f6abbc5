"""`shortlist decision`: what a night decided about its model, and why."""

from __future__ import annotations

import typer

from pipeline.cli_common import AsOf, ConfigFile, Json, answer, people, prepare

app = typer.Typer()


@app.command()
def decision(config_file: ConfigFile = None, as_of: AsOf = None, as_json: Json = False) -> None:
    """What the newest night decided (train, keep the champion, hold back), every reason, and where its page lies."""
    settings, night = prepare(config_file, as_of)
    from pipeline import tell_decision as step

    report = step.run(night, settings)
    answer(report.to_json(), as_json, lambda: step.draw(report, people))
