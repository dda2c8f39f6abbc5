"""Quarantine: refused rows are told with what to do, and a retry loads what changed, all of it and nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from expectations import schemas
from pipeline import ingest, quarantine
from pipeline.config import Config
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.reasons import explained
from tests.pipeline.small import House, events_csv, shortlist, table_source

DAY = date(2026, 6, 30)
BEFORE = DAY - timedelta(days=1)
NIGHT = datetime(2026, 7, 1, tzinfo=UTC)
WEB = table_source("web", "events")
FORM = "ts is not a time in the form iso8601"

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A company of one source, without exports."""
    return House(tmp_path)


def export(house: House, day: date = DAY, broken: dict[int, dict[str, object]] | None = None) -> Path:
    """Forty events of a day; some rows (from 1) are changed."""
    rows = list(events_csv(day, 40))
    for number, changes in (broken or {}).items():
        rows[number - 1] |= changes
    return house.write_csv(f"exports/web_{day:%Y%m%d}.csv", rows)


def load(config: Config, *days: date) -> None:
    """These days of the web."""
    for day in days:
        ingest.load({"source": "web", "day": day.isoformat()}, NIGHT, config)


def refused(report: quarantine.QuarantineReport) -> list[tuple[str | None, str, int, str]]:
    """Day, reason, rows and state of each group."""
    return [(one.day, one.reason, one.rows, one.state) for one in report.refused]


# ---------------------------------------------------------------- what is told


def test_refused_rows_are_told_by_reason(house: House, capsys: Capture) -> None:
    """Counted by reason, the most frequent first, with the first row numbers, the file and what to do."""
    config = house.configure(WEB)
    path = export(house, broken={**{n: {"ts": "soon"} for n in range(9, 2, -1)}, 1: {"visitor_id": ""}})
    load(config, DAY)
    said = shortlist(capsys, "quarantine", "--config", house.file, "--json").json
    assert (said["retried"], said["ingest"]) == ([], None)
    first, second = said["refused"]
    assert {**first, "meaning": "", "remedy": ""} == {
        "source": "web",
        "day": "2026-06-30",
        "table": "events",
        "file": path.name,
        "reason": FORM,
        "rows": 7,
        "row_numbers": [3, 4, 5, 6, 7],
        "state": "as loaded",
        "meaning": "",
        "remedy": "",
    }
    assert "`timestamp`" in first["remedy"]
    assert (second["reason"], second["rows"], second["row_numbers"]) == ("visitor_id or customer_id is missing", 1, [1])


def test_people_read_what_to_do(house: House, capsys: Capture) -> None:
    """On a terminal each reason is explained, and what a retry would do; an empty quarantine is said to be one."""
    config = house.configure(WEB)
    said = shortlist(capsys, "quarantine", "--config", house.file)
    assert (said.code, said.out) == (0, "")
    assert "Nothing is in quarantine" in said.err
    export(house, broken={3: {"ts": "soon"}})
    load(config, DAY)
    said = shortlist(capsys, "quarantine", "--config", house.file)
    assert (said.code, said.out) == (0, "")
    assert said.lacks("web", "2026-06-30", "set the source's `timestamp`", "mend the export or the mapping first") == []


def test_only_what_was_asked_for_is_told(house: House) -> None:
    """By source and by day, both ends included; a source that nobody has is a mistake."""
    config = house.configure(WEB)
    for day in (BEFORE, DAY):
        export(house, day, broken={2: {"ts": "soon"}})
    load(config, BEFORE, DAY)
    assert [one.day for one in quarantine.run(config).refused] == ["2026-06-29", "2026-06-30"]
    assert [one.day for one in quarantine.run(config, since=DAY).refused] == ["2026-06-30"]
    assert [one.day for one in quarantine.run(config, source="web", until=BEFORE).refused] == ["2026-06-29"]
    with pytest.raises(ConfigurationError, match="no source 'wbe'; did you mean `web`"):
        quarantine.run(config, source="wbe")


def test_what_became_of_the_export_is_told(house: House) -> None:
    """Changed, gone, under another kind of path, of a source that was taken out: each is another thing to do."""
    config = house.configure(WEB)
    path = export(house, broken={2: {"ts": "soon"}})
    load(config, DAY)

    def state(config: Config) -> str:
        return quarantine.run(config).refused[0].state

    assert state(config) == "as loaded"
    assert state(house.configure(WEB + "delay_minutes = 5\n")) == "changed"
    assert state(house.configure(WEB.replace("web_{date:%Y%m%d}", "web"))) == "other path"
    assert state(house.configure(WEB.replace('"web"', '"site"'))) == "no such source"
    path.unlink()
    assert state(config) == "file is missing"


# ---------------------------------------------------------------- again


def test_a_mended_export_empties_its_quarantine_and_no_other(house: House, capsys: Capture) -> None:
    """The day that was mended is loaded whole; the day beside it stays as it is, and says what it waits for."""
    config = house.configure(WEB)
    for day in (BEFORE, DAY):
        export(house, day, broken={2: {"ts": "soon"}, 3: {"ts": ""}})
    load(config, BEFORE, DAY)
    before = house.rows()
    export(house, DAY)
    said = shortlist(capsys, "quarantine", "--retry", "--config", house.file, "--as-of", "2026-07-01", "--json").json
    assert [(one["day"], one["refused_before"], one["refused_now"], one["loaded"]) for one in said["retried"]] == [
        ("2026-06-29", 2, 2, False),
        ("2026-06-30", 2, 0, True),
    ]
    assert {one["day"] for one in said["refused"]} == {"2026-06-29"}
    assert [(day["date"], day["kept"]) for day in said["ingest"]["days"]] == [("2026-06-30", 40)]
    after = house.rows()
    assert _of(after, BEFORE) == _of(before, BEFORE)
    assert sum(row["day"] == DAY for row in after["events"]) == 40


def _of(rows: dict[str, list[dict[str, Any]]], day: date) -> dict[str, list[dict[str, Any]]]:
    return {name: [row for row in table if row["day"] == day] for name, table in rows.items()}


def test_a_mended_mapping_empties_the_quarantine(house: House) -> None:
    """The same file under the right `timestamp` is loaded again, and every row is in the lake."""
    lenient = 'options.allow_empty = "true"\n[quality]\nmax_quarantined_share = 1.0\n'
    config = house.configure(WEB + 'timestamp = "unix_millis"\n' + lenient)
    export(house, broken={n: {"ts": 1_782_777_600 + n} for n in range(1, 41)})
    load(config, DAY)
    assert refused(quarantine.run(config)) == [("2026-06-30", "ts is outside the years 2000 to 2099", 40, "as loaded")]
    config = house.configure(WEB + 'timestamp = "unix_seconds"\n' + lenient)
    report = quarantine.retry(NIGHT, config)
    assert (report.refused, [one.said for one in report.retried]) == ((), ["loaded again"])
    assert (house.rows()["quarantine"], len(house.rows()["events"])) == ([], 40)


def test_a_retry_without_a_change_changes_nothing(house: House, capsys: Capture) -> None:
    """No table gets a new version, not even where the load would come out the same; and the command says why."""
    config = house.configure(WEB)
    export(house, broken={2: {"ts": "soon"}})
    load(config, DAY)
    versions = house.lake.versions()
    said = shortlist(capsys, "quarantine", "--retry", "--config", house.file, "--as-of", "2026-07-01")
    assert (said.code, house.lake.versions()) == (0, versions)
    assert said.lacks("nothing changed: mend the export or the mapping first", "1 refused before, 1 now") == []
    assert quarantine.retry(NIGHT, config).ingest is None


def test_a_retry_of_a_file_that_is_gone_says_so(house: House) -> None:
    """It is no failure of the others' retry."""
    config = house.configure(WEB)
    path = export(house, broken={2: {"ts": "soon"}})
    load(config, DAY)
    path.unlink()
    (retried,) = quarantine.retry(NIGHT, config).retried
    assert (retried.loaded, retried.refused_now) == (False, 1)
    assert retried.said.startswith("the file is gone")


def test_an_export_that_is_worse_now_changes_nothing(house: House) -> None:
    """A retry is a load like any other: too many broken rows, and the day stays as it was."""
    config = house.configure(WEB)
    export(house, broken={2: {"ts": "soon"}})
    load(config, DAY)
    before = house.rows()
    export(house, broken={n: {"ts": "soon"} for n in range(1, 31)})
    with pytest.raises(ShortlistError, match=r"30 of 40 rows .* are broken"):
        quarantine.retry(NIGHT, config)
    assert house.rows() == before


def test_a_file_without_a_day_can_be_tried_again(house: House) -> None:
    """A whole file's refusals have no day; asked for by day they are left out, and a retry finds them."""
    config = house.configure(WEB.replace("_{date:%Y%m%d}", ""))
    rows = list(events_csv(DAY, 40))
    house.write_csv("exports/web.csv", [{**rows[0], "ts": "soon"}, *rows[1:]])
    ingest.run(NIGHT, config)
    assert refused(quarantine.run(config)) == [(None, FORM, 1, "as loaded")]
    assert quarantine.run(config, since=date(1970, 1, 1)).refused == ()
    house.write_csv("exports/web.csv", rows)
    assert quarantine.retry(NIGHT, config).refused == ()


# ---------------------------------------------------------------- in words


def contract_reasons() -> list[str]:
    """What the row contract says of each column of each native table."""
    columns = [column for table in schemas.NATIVE.values() for column in table.columns]
    missing = [f"{column.name} is missing" for column in columns if column.required]
    nobody = [f"{' or '.join(table.any_of)} is missing" for table in schemas.NATIVE.values() if table.any_of]
    below = [f"{column.name} is below {column.minimum:g}" for column in columns if column.minimum is not None]
    above = [f"{column.name} is above {column.maximum:g}" for column in columns if column.maximum is not None]
    return [*missing, *nobody, *below, *above, "event is not one of ours, nor custom:<name>"]


def test_every_reason_of_the_contract_is_explained() -> None:
    """None falls through to the words for a company's own suites."""
    own = explained("a line of somebody's own suite")
    assert [reason for reason in contract_reasons() if explained(reason) == own] == []


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("has 3 fields where the header has 5", "options.delimiter"),
        ("is not valid CSV: unexpected end of data", "quotes"),
        ("is not a JSON object", "one object a line"),
        ("event_params or items is not a list of records", "as the tool writes it"),
        ("paid_at is not a time in the form %d/%m/%Y", "unix_seconds"),
        ("amount is not a number", "decimal point"),
        ("amount is not a finite number", "decimal point"),
        ("line_no is not a whole number", "decimal point"),
        ("ts is outside the years 2000 to 2099", "unix_millis"),
        ("ts is before the export's day", "project.timezone"),
        ("ts is after the export's day", "late_days"),
        ("dwell_seconds is above 86400", "unit"),
        ("visitor_id or customer_id or email or order_id is missing", "without any of them"),
        ("its id is missing", "[sources.columns]"),
        ("content_id holds an e-mail address", "another id"),
        ("country is not two letters (ISO 3166)", "[sources.values.country]"),
        ("currency is not three capital letters (ISO 4217)", "[sources.values.currency]"),
        ("expires_at is not after published_at", "CMS"),
        ("our shop sells nothing on Sundays", "quality.suites"),
    ],
)
def test_a_reason_has_its_remedy(reason: str, words: str) -> None:
    """What to do names the setting or the step."""
    assert words in explained(reason).remedy
