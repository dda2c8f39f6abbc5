"""The guide on judging other lists: its configuration is one, its commands are there, and so is all that it names."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from typer.testing import CliRunner

from models.off_policy import MAX_UNSHOWN, MIN_ESS, Support, Values
from pipeline import cli, config
from pipeline.evaluate import ESTIMATORS, EvaluateReport
from pipeline.sections import Housekeeping

TEXT = (Path(__file__).parents[2] / "docs/guides/evaluate-off-policy.md").read_text(encoding="utf-8")


def test_the_example_draws_lists_by_lot(tmp_path: Path) -> None:
    """As it stands there, in a file of its own; and what it says of temperatures is so."""
    (example,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    file = tmp_path / "shortlist.toml"
    file.write_text(example, encoding="utf-8")
    assert config.load(file).ranking.temperature == 0.3
    assert [round(2 ** (1 / temperature), -1) for temperature in (0.3, 0.1)] == [10, 1020]
    assert f"`housekeeping.snapshots` says how many published tables are kept ({Housekeeping().snapshots})" in TEXT


def test_every_command_and_option_is_there() -> None:
    """What is typed there, the command explains."""
    (block,) = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    told = CliRunner().invoke(cli.app, ["evaluate", "--help"], env={"COLUMNS": "200"}).output
    asked = set(re.findall(r"--[a-z-]+", block))
    assert block.count("shortlist evaluate") == 3
    assert asked == {"--off-policy", "--temperature", "--from", "--to", "--json"}
    assert [option for option in asked if option not in told] == []


def test_what_it_names_is_what_the_report_has() -> None:
    """Every field of the table, and the limits."""
    table = TEXT[TEXT.index("| in the JSON |") : TEXT.index("- **IPS**")]
    named = set(re.findall(r"`(\w+)`", table))
    there = {field.name for kind in (EvaluateReport, Values, Support) for field in fields(kind)}
    assert named - {"support"} <= there
    assert named >= {*ESTIMATORS, "logged", "told", "problem", *(field.name for field in fields(Support))} - {"place"}
    assert f"Below {MIN_ESS:.0f} nothing is told" in TEXT
    assert f"Beyond {MAX_UNSHOWN:.0%}".replace("%", " %") in TEXT
