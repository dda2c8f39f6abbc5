"""The command line: a wrong command ends with 2, failed work with 1, and standard output is for machines alone."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from rich.console import Console

from pipeline import cli, ingest, simulate, summary
from pipeline.config import Config
from pipeline.doctor import DoctorReport
from pipeline.doctor import run as examine
from tests.pipeline.small import House, events_csv, shortlist, table_source

DAY = date(2026, 6, 30)
WEB = table_source("web", "events")
STEPS = ("run", "ingest", "features", "grade", "drift", "train", "rank", "publish", "housekeep")
KEY = "a-secret-of-more-than-sixteen-letters"

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A company with one day's export."""
    house = House(tmp_path)
    house.configure(WEB)
    house.write_csv(f"exports/web_{DAY:%Y%m%d}.csv", list(events_csv(DAY, 12)))
    return house


# ---------------------------------------------------------------- the command is wrong


@pytest.mark.parametrize("step", [*STEPS, "decision"])
def test_a_missing_configuration_ends_every_step_with_2(step: str, tmp_path: Path, capsys: Capture) -> None:
    """No step starts without its configuration, and each says which file it looked for."""
    said = shortlist(capsys, step, "--config", tmp_path / "none.toml")
    assert (said.code, said.out) == (2, "")
    assert said.lacks("error:", str(tmp_path / "none.toml"), "no such file", "--config") == []


@pytest.mark.parametrize("step", [*STEPS, "decision"])
def test_an_as_of_that_is_none_ends_every_step_with_2(step: str, house: House, capsys: Capture) -> None:
    """What is no instant is quoted, with the forms that are."""
    said = shortlist(capsys, step, "--config", house.file, "--as-of", "tomorrow")
    assert (said.code, said.out) == (2, "")
    assert said.lacks("as_of 'tomorrow' is no instant", "2026-07-01", "ISO 8601") == []


@pytest.mark.parametrize("option", ["--start-date", "--end-date"])
def test_a_day_that_is_none_is_quoted(option: str, house: House, capsys: Capture) -> None:
    """A range wants days in one form, and the message has an example."""
    said = shortlist(capsys, "ingest", "--config", house.file, option, "30.06.2026")
    assert said.code == 2
    assert said.lacks("'30.06.2026' is not a day", "YYYY-MM-DD", "2026-06-30") == []


@pytest.mark.parametrize("arguments", [["ingets"], ["ingest", "--asof", "2026-07-01"], ["simulate"], ["show"]])
def test_a_misspelt_command_ends_with_2(arguments: list[str], capsys: Capture) -> None:
    """Unknown commands and options, and missing ones, are the command's fault and print nothing for machines."""
    said = shortlist(capsys, *arguments)
    assert (said.code, said.out) == (2, "")


def test_the_key_is_never_optional(house: House, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key, or with one that protects nobody, nothing is read; the message has the command that makes one."""
    house.file.write_text(house.file.read_text().replace("development_key = true", ""), encoding="utf-8")
    for key in ("", "short"):
        monkeypatch.setenv("SHORTLIST_ID_KEY", key)
        said = shortlist(capsys, "ingest", "--config", house.file, "--as-of", "2026-07-01")
        assert said.code == 2
        assert said.lacks("SHORTLIST_ID_KEY", "at least 16 characters", "openssl rand -hex 32") == []
    assert not house.lake.root.exists()
    monkeypatch.setenv("SHORTLIST_ID_KEY", KEY)
    assert shortlist(capsys, "ingest", "--config", house.file, "--as-of", "2026-07-01").code == 0


def test_the_public_key_is_warned_of(house: House, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever tries things out with the development key is told each time, and not once a real key is set."""
    monkeypatch.delenv("SHORTLIST_ID_KEY", raising=False)
    warned = shortlist(capsys, "ingest", "--config", house.file, "--as-of", "2026-07-01")
    assert warned.lacks("warning:", "anybody can undo them", "SHORTLIST_ID_KEY") == []
    monkeypatch.setenv("SHORTLIST_ID_KEY", KEY)
    assert "warning:" not in shortlist(capsys, "grade", "--config", house.file, "--as-of", "2026-07-01").err


# ---------------------------------------------------------------- the work failed


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("ingest", ("web: no export for 2026-06-28", "the newest is")),
        (
            "features",
            ("holds no events, transactions or popularity before 2026-06-29", "shortlist ingest --as-of 2026-06-29"),
        ),
        ("train", ("holds no events, transactions or popularity", "shortlist doctor")),
        ("rank", ("holds no events, transactions or popularity",)),
        ("publish", ("was not ranked yet", "shortlist rank --as-of 2026-06-29")),
    ],
)
def test_a_step_before_its_turn_ends_with_1(step: str, words: tuple[str, ...], house: House, capsys: Capture) -> None:
    """A step that lacks what an earlier one makes fails, changes nothing, and names the command to run."""
    said = shortlist(capsys, step, "--config", house.file, "--as-of", "2026-06-29", "--json")
    assert (said.code, said.out, said.lacks("error:", *words)) == (1, "", [])
    assert not house.lake.root.exists()
    assert not house.lake.published.exists()


def test_a_person_without_a_list_is_an_error(house: House, capsys: Capture) -> None:
    """Looking before anything is published ends with 1 and says that nothing is."""
    said = shortlist(capsys, "show", "somebody", "--config", house.file)
    assert (said.code, said.out) == (1, "")
    assert str(house.lake.rankings) in said.err


def test_ctrl_c_says_that_nothing_is_half_done(house: House, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopping a command is no failure of ours: exit code 130 and no traceback."""

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ingest, "load", stopped)
    said = shortlist(capsys, "ingest", "--config", house.file, "--as-of", "2026-07-01")
    assert said.code == 130
    assert "Traceback" not in said.err


def test_markup_in_a_message_is_not_markup(tmp_path: Path, capsys: Capture) -> None:
    """Square brackets of a path or a setting are printed as they are."""
    said = shortlist(capsys, "ingest", "--config", tmp_path / "[bold]x[/bold]" / "none.toml")
    assert "[bold]x[/bold]" in said.err


# ---------------------------------------------------------------- the work is done


def test_ingest_answers_in_json(house: House, capsys: Capture) -> None:
    """One object: what became of each table of each day, whether anything changed, warnings, and the Data Docs."""
    command = ("ingest", "--config", house.file, "--as-of", "2026-07-01", "--json")
    said = shortlist(capsys, *command)
    assert said.code == 0
    assert said.out.count("\n") == 1
    assert set(said.json) == {"days", "changed", "warnings", "data_docs", "purged"}
    assert said.json["changed"] is True
    assert said.json["days"] == [
        {
            "date": "2026-06-30",
            "source": "web",
            "table": "events",
            "read": 12,
            "kept": 12,
            "quarantined": {},
            "duplicates": 0,
            "suppressed": 0,
            "late": 0,
            "bots": 0,
            "without_consent": 0,
            "notes": {},
        }
    ]
    assert len(said.json["warnings"]) == 3
    assert Path(said.json["data_docs"]).is_file()
    again = shortlist(capsys, *command).json
    assert (again["days"], again["changed"]) == ([], False)


def test_ingest_tells_people_what_happened(house: House, capsys: Capture) -> None:
    """Without --json the story is on standard error, and standard output stays empty for pipes."""
    said = shortlist(capsys, "ingest", "--config", house.file, "--as-of", "2026-07-01")
    assert (said.code, said.out) == (0, "")
    assert said.lacks("12 rows kept, 0 quarantined", "note: no content catalogue", "Data Docs: ") == []


def test_ingest_tells_people_of_refused_rows(house: House, capsys: Capture) -> None:
    """Rows that were set aside are told with their source, day, table, number and reason."""
    rows = list(events_csv(DAY, 12))
    house.write_csv(f"exports/web_{DAY:%Y%m%d}.csv", [{**rows[0], "ts": "soon"}, *rows[1:]])
    said = shortlist(capsys, "ingest", "--config", house.file, "--as-of", "2026-07-01")
    assert said.lacks("web 2026-06-30 events: 1 rows quarantined: ts is not a time in the form iso8601") == []


def test_ingest_tells_how_many_rows_left_again() -> None:
    """What is kept depends on who was known to object when an export came; with what was purged the sums agree."""
    out = io.StringIO()
    day = ingest.DayReport("2026-06-30", "web", "events", read=12, kept=12, quarantined={}, duplicates=0)
    for purged in ({}, {"events": 3, "customers": 1}):
        summary.ingested(
            ingest.IngestReport((day,), True, data_docs="there", purged=purged), Console(file=out, width=200)
        )
    without, with_some = (line for line in out.getvalue().splitlines() if line.startswith("ingest"))
    assert "purged" not in without
    assert with_some.endswith("; 4 rows purged, of people who object")


def test_an_instant_is_understood_in_the_projects_time_zone(house: House, capsys: Capture) -> None:
    """A date is its midnight where the company is: 30 June in New York is not over at a UTC midnight."""
    text = house.file.read_text(encoding="utf-8")
    house.file.write_text(text.replace("[project]", '[project]\ntimezone = "America/New_York"'), encoding="utf-8")
    early = shortlist(capsys, "ingest", "--config", house.file, "--as-of", "2026-07-01T00:00:00+00:00", "--json")
    assert (early.code, early.lacks("no export for 2026-06-29")) == (1, [])
    late = shortlist(capsys, "ingest", "--config", house.file, "--as-of", "2026-07-01", "--json")
    assert [day["date"] for day in late.json["days"]] == ["2026-06-30"]


def test_a_range_is_loaded_again_by_hand(house: House, capsys: Capture) -> None:
    """--start-date and --end-date load exactly those days, and miss a file as any night would."""
    said = shortlist(
        capsys, "ingest", "--config", house.file, "--start-date", "2026-06-30", "--end-date", "2026-06-30", "--json"
    )
    assert [day["date"] for day in said.json["days"]] == ["2026-06-30"]
    assert shortlist(capsys, "ingest", "--config", house.file, "--start-date", "2026-06-29").code == 1


def test_simulate_answers_in_json(tmp_path: Path, capsys: Capture) -> None:
    """What was made, in numbers, and where every file lies."""
    said = shortlist(
        capsys,
        "simulate",
        "--out",
        tmp_path / "e",
        "--days",
        1,
        "--people",
        20,
        "--content",
        24,
        "--end",
        DAY,
        "--json",
    )
    assert said.code == 0
    report = simulate.run(tmp_path / "e", days=1, people=20, content=24, end=DAY)
    assert not report.made
    assert said.json["counts"]["events"] == report.counts.events
    assert [Path(path).is_file() for path in said.json["paths"]] == [True] * 7


def test_the_configuration_may_come_from_the_environment(
    house: House, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SHORTLIST_CONFIG names the file for every command."""
    monkeypatch.setenv("SHORTLIST_CONFIG", str(house.file))
    assert shortlist(capsys, "ingest", "--as-of", "2026-07-01").code == 0


def test_help_lists_every_command(capsys: Capture) -> None:
    """`shortlist --help` has a line for each command, and each command explains itself."""
    said = shortlist(capsys, "--help")
    names = [command.name or command.callback.__name__ for command in cli.app.registered_commands if command.callback]
    assert said.code == 0
    assert [name for name in (*STEPS, "show", "doctor", "simulate", "up") if name not in names] == []
    assert [name for name in names if name not in said.out] == []
    assert [c.callback.__name__ for c in cli.app.registered_commands if c.callback and not c.callback.__doc__] == []


def test_help_does_not_wait_for_the_heavy_libraries() -> None:
    """Asking for help, or misspelling, imports neither a compiler nor any other library that takes long."""
    heavy = ("airflow", "mlflow", "great_expectations", "xgboost", "matplotlib", "numba")
    code = f"import sys; from pipeline import cli; print([m for m in {heavy} if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------- doctor


def test_doctor_is_content_with_a_house_in_order(house: House, capsys: Capture) -> None:
    """Everything that a night needs is there: exit code 0, each finding with what was found."""
    said = shortlist(capsys, "doctor", "--config", house.file, "--json")
    found = {one["what"]: one for one in said.json["findings"]}
    assert (said.code, all(one["healthy"] for one in found.values())) == (0, True)
    assert found["source web (table)"]["detail"] == "1 days, 2026-06-30 to 2026-06-30"
    assert set(found) == {"key SHORTLIST_ID_KEY", "source web (table)", "lake", "published", "state", "alerts"}


def test_doctor_finds_what_is_missing(house: House, capsys: Capture) -> None:
    """A source without files, or of no format that we know, and a lake that cannot be: exit code 1, each named."""
    sources = '[[sources]]\nname = "gone"\nformat = "ga4"\npath = "nowhere/{date:%Y}.parquet"\n'
    sources += '[[sources]]\nname = "odd"\nformat = "ga5"\npath = "x.csv"\n'
    house.configure(WEB + sources)
    said = shortlist(capsys, "doctor", "--config", house.file)
    assert said.code == 1
    assert said.lacks("BAD source gone (ga4): no file matches", "BAD source odd (ga5)", "did you mean 'ga4'?") == []
    assert said.lacks("ok source web (table)") == []


def test_doctor_changes_nothing(house: House, capsys: Capture) -> None:
    """Looking makes no folder."""
    before = sorted(house.folder.rglob("*"))
    shortlist(capsys, "doctor", "--config", house.file)
    assert sorted(house.folder.rglob("*")) == before


def test_doctor_documents_every_setting(house: House) -> None:
    """Every key of every section is listed with its value, and with whether the file or the default said it."""
    report = documented(house.configure(WEB + "[ranking]\nk = 7\n"))
    assert report["ranking.k"] == ("7", "file")
    assert report["ranking.candidates"] == ("200", "default")
    assert report["project.development_key"] == ("True", "file")
    assert report["goals.read.weight"] == ("0.5", "default")
    assert report["sources.web.format"] == ("table", "file")
    sections = [name for name in Config.model_fields if name not in ("file", "sources", "goals", "rules")]
    keys = {f"{name}.{key}" for name in sections for key in type(getattr(house.configure(WEB), name)).model_fields}
    assert keys <= set(report)


def documented(settings: Config) -> dict[str, tuple[str, str]]:
    """Setting -> value and origin, from a report that lists each once."""
    report: DoctorReport = examine(settings)
    assert len({name for name, _, _ in report.settings}) == len(report.settings)
    json.dumps(report.to_json())
    return {name: (value, origin) for name, value, origin in report.settings}
