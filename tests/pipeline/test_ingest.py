"""Ingest: a (source, day) is loaded whole or not at all, twice is once, and only what changed is touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import ingest
from pipeline.config import Config
from pipeline.day_files import DataFile
from pipeline.errors import ShortlistError
from pipeline.lake import UNDATED, Lake
from pipeline.pseudonyms import Pseudonyms
from tests.pipeline.small import House, events_csv
from tests.pipeline.website import CRM, DAY, NIGHT, WEB, days_before, export, load


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A company of one source, without exports."""
    house = House(tmp_path)
    house.configure(WEB)
    return house


# ---------------------------------------------------------------- once, again, changed


def test_twice_is_once(house: House) -> None:
    """The same files again change no table: every version stays, and the report says so."""
    export(house)
    config = house.configure(WEB)
    assert ingest.run(NIGHT, config).changed
    versions = house.lake.versions()
    assert versions
    again = ingest.run(NIGHT, config)
    assert (again.changed, again.days, house.lake.versions()) == (False, (), versions)


def test_a_late_file_replaces_its_day_alone(house: House) -> None:
    """A rewritten export takes the place of its day's rows in every table; the days beside it keep theirs."""
    for back in range(3):
        export(house, days_before(back))
    config = house.configure(WEB + "late_days = 2\n")
    ingest.run(NIGHT, config)
    before = house.rows()
    export(house, days_before(1), count=10, visitor_id="newcomer")
    report = ingest.run(NIGHT, config)
    after = house.rows()
    assert [(day.date, day.kept) for day in report.days] == [("2026-06-29", 10)]
    for table in before:
        assert _beside(after[table]) == _beside(before[table])
    assert sum(row["day"] == days_before(1) for row in after["events"]) == 10
    assert "newcomer" in {row["native_id"] for row in after["native_ids"]}


def _beside(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["day"] != days_before(1)]


def test_the_order_of_rows_in_a_file_is_no_fact(house: House, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same rows the other way round make the same tables."""
    other = House(tmp_path_factory.mktemp("other"))
    rows = list(events_csv(DAY, 12))
    for one, order in ((house, rows), (other, rows[::-1])):
        one.write_csv(f"exports/web_{DAY:%Y%m%d}.csv", order)
        load(one.configure(WEB))
    assert {**other.rows(), "loads": None} == {**house.rows(), "loads": None}


def test_a_changed_setting_loads_the_day_again(house: House) -> None:
    """The same bytes read in another way are another load; looking longer for late files is none."""
    export(house)
    load(house.configure(WEB))
    assert not load(house.configure(WEB + "late_days = 9\n")).changed
    assert load(house.configure(WEB + "delay_minutes = 90\n")).changed
    delays = {row["available_at"] - row["ts"] for row in house.rows()["events"]}
    assert delays == {timedelta(minutes=90)}


def test_a_file_of_many_days_is_split_by_them(house: House) -> None:
    """A path without {date} is read whole: its rows go to their days, and what it no longer holds is gone."""
    config = house.configure(WEB.replace("_{date:%Y%m%d}", ""))
    rows = [row for back in range(3) for row in events_csv(days_before(back), 5)]
    house.write_csv("exports/web.csv", rows)
    ingest.run(NIGHT, config)
    assert {day for _, day in house.lake.days("events")} == {days_before(back) for back in range(3)}
    assert house.lake.days("loads") == {("web", UNDATED)}
    house.write_csv("exports/web.csv", rows[:5])
    ingest.run(NIGHT, config)
    assert {day for _, day in house.lake.days("events")} == {DAY}
    assert {day for _, day in house.lake.days("native_ids")} == {DAY}


def test_a_day_without_rows_may_be_normal(house: House) -> None:
    """With `allow_empty` a day without rows is loaded as one, and is no error later either."""
    empty = export(house)
    empty.write_text(empty.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    with pytest.raises(ShortlistError, match=r"has no rows.*allow_empty"):
        load(house.configure(WEB))
    config = house.configure(WEB + 'options.allow_empty = "true"\n')
    assert load(config).changed
    assert not load(config).changed
    assert house.lake.versions() == {"loads": 1}


# ---------------------------------------------------------------- all or nothing


@pytest.mark.parametrize("table", ["native_ids", "identities", "quarantine", "events", "loads"])
def test_a_crash_between_writes_is_mended_by_the_next_run(
    table: str, house: House, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a load dies, the same command again gives the lake that it would have given at once."""
    once = House(tmp_path_factory.mktemp("once"))
    rows = [{**row, "customer_id": ""} for row in events_csv(DAY, 20)]
    rows[1]["customer_id"], rows[2]["ts"] = "c-1", "?"
    for one in (house, once):
        one.write_csv(f"exports/web_{DAY:%Y%m%d}.csv", rows)
    load(once.configure(WEB))
    with monkeypatch.context() as patch:
        patch.setattr(Lake, "adopt", dying_at(table))
        with pytest.raises(KeyboardInterrupt):
            load(house.configure(WEB))
    assert "loads" not in house.lake.versions()
    assert load(house.configure(WEB)).changed
    assert house.rows() == once.rows()
    assert set(once.rows()) == {"native_ids", "identities", "quarantine", "events", "loads"}


def dying_at(table: str) -> Callable[..., None]:
    """`Lake.adopt`, until its turn comes to write `table`."""
    real = Lake.adopt

    def adopt(lake: Lake, name: str, files: Sequence[DataFile], source: str, day: date | None) -> None:
        if name == table:
            raise KeyboardInterrupt
        real(lake, name, files, source, day)

    return adopt


@pytest.mark.parametrize(
    ("count", "found"), [(2, "min_value=4"), (250, "max_value=200")], ids=["far too few", "far too many"]
)
def test_a_day_of_another_size_is_refused(house: House, count: int, found: str) -> None:
    """Against the median of the days before, a fraction or a multiple of the rows changes no table at all."""
    config = house.configure(WEB)
    for back in (1, 2, 3):
        load_of(house, config, days_before(back), 20)
    versions = house.lake.versions()
    export(house, count=count)
    with pytest.raises(ShortlistError) as refused:
        load(config)
    said = str(refused.value)
    assert "web 2026-06-30: table 'events' breaks its contract, so nothing of this export was loaded" in said
    assert found in said
    assert f"found: {count}" in said
    assert house.lake.versions() == versions
    assert Path(said.rpartition("Data Docs: ")[2]).is_file()


def load_of(house: House, config: Config, day: date, count: int) -> None:
    """Load a day of so many events."""
    export(house, day, count)
    load(config, day=day)


def test_too_many_broken_rows_change_nothing(house: House) -> None:
    """More than the allowed share refuses the day with every reason counted; just the share is let in."""
    rows = list(events_csv(DAY, 10))
    broken: Mapping[int, dict[str, object]] = {0: {"ts": "soon"}, 1: {"ts": ""}, 2: {"visitor_id": ""}}
    path = house.write_csv(
        f"exports/web_{DAY:%Y%m%d}.csv", [{**row, **broken.get(i, {})} for i, row in enumerate(rows)]
    )
    with pytest.raises(ShortlistError) as refused:
        load(house.configure(WEB))
    said = str(refused.value)
    assert f"3 of 10 rows of {path.name} are broken" in said
    assert "1 x ts is missing" in said
    assert "1 x visitor_id or customer_id is missing" in said
    assert "1 x ts is not a time in the form iso8601" in said
    assert house.lake.versions() == {}
    assert load(house.configure(WEB + "[quality]\nmax_quarantined_share = 0.3\n")).changed


def test_quarantine_says_where_and_why_and_no_value(house: House) -> None:
    """A refused row leaves its file, its number and a reason; nothing that it held is anywhere in the lake."""
    path = export(house, ts="secret time", visitor_id="secret visitor")
    report = load(house.configure(WEB))
    (row,) = house.rows()["quarantine"]
    assert row == {
        "table": "events",
        "source_file": path.name,
        "row_number": 1,
        "reason": "ts is not a time in the form iso8601",
        "source": "web",
        "day": DAY,
    }
    assert "secret" not in repr(house.rows())
    assert [(day.read, day.kept, dict(day.quarantined)) for day in report.days] == [(12, 11, {row["reason"]: 1})]


def test_a_mended_file_empties_its_quarantine(house: House) -> None:
    """What was refused yesterday and is whole today is not refused any more."""
    config = house.configure(WEB)
    export(house, ts="?")
    load(config)
    assert len(house.rows()["quarantine"]) == 1
    export(house)
    load(config)
    assert house.rows()["quarantine"] == []


# ---------------------------------------------------------------- what is in the lake


def test_native_ids_are_in_the_vault_alone(house: House) -> None:
    """Outside the vault people are pseudonyms; the vault leads back, and a visitor is joined to its customer."""
    export(house, visitor_id="cookie-7", customer_id="crm-7")
    config = house.configure(WEB)
    load(config)
    ids, rows = Pseudonyms.of(config), house.rows()
    visitor, customer = ids.one("cookie-7", "visitor"), ids.one("crm-7", "customer")
    outside = repr({name: table for name, table in rows.items() if name != "native_ids"})
    assert "cookie-7" not in outside
    assert "crm-7" not in outside
    assert {(row["id"], row["id_type"], row["native_id"]) for row in rows["native_ids"]} >= {
        (visitor, "visitor", "cookie-7"),
        (customer, "customer", "crm-7"),
    }
    (link,) = rows["identities"]
    assert (link["id"], link["id_type"], link["other_id"], link["other_type"]) == (
        visitor,
        "visitor",
        customer,
        "customer",
    )
    (event,) = (row for row in rows["events"] if row["event_id"] == f"{DAY}-0")
    assert (event["person_id"], event["visitor_id"], event["customer_id"]) == (customer, visitor, customer)


def test_the_address_of_a_customer_is_not_stored(house: House) -> None:
    """An e-mail address becomes a link between pseudonyms and is in no table, not even in the vault."""
    house.write_csv(f"exports/crm_{DAY:%Y%m%d}.csv", [{"customer_id": "7", "email": "Ann@Example.com", "plan": "pro"}])
    config = house.configure(CRM)
    load(config, "crm")
    rows, ids = house.rows(), Pseudonyms.of(config)
    assert "example.com" not in repr(rows).lower()
    (link,) = rows["identities"]
    assert (link["id"], link["id_type"]) == (ids.one("ann@example.com", "email"), "email")
    assert dict(rows["customers"][0]["attributes"]) == {"plan": "pro"}


def test_the_report_says_what_the_lake_lacks(house: House) -> None:
    """Each table that no source fills has its sentence, and the Data Docs lie where the report says."""
    export(house)
    report = ingest.run(NIGHT, house.configure(WEB))
    assert [warning.split(":")[0] for warning in report.warnings] == [
        "no content catalogue",
        "no CRM",
        "no transactions",
    ]
    assert report.data_docs is not None
    page = Path(report.data_docs).read_text(encoding="utf-8")
    assert "web 2026-06-30" in page
    assert "events" in page


def test_content_that_is_in_no_catalogue_is_told(house: House) -> None:
    """Events of yesterday about unknown content are counted, with an example; known content is not."""
    cms = '[[sources]]\nname = "cms"\nformat = "table"\ntable = "content"\npath = "exports/cms.csv"\n'
    house.write_csv("exports/cms.csv", [{"content_id": f"c{i}", "status": "published"} for i in range(4)])
    export(house)
    config = house.configure(WEB + cms)
    assert not [warning for warning in ingest.run(NIGHT, config).warnings if "catalogue" in warning]
    export(house, content_id="ghost")
    (warning,) = (w for w in ingest.run(NIGHT, config).warnings if "catalogue" in w)
    assert warning.startswith(
        "1 events of 2026-06-30 are about 1 content ids that are in no catalogue, for example 'ghost'"
    )


def test_progress_is_told_after_each_unit(house: House) -> None:
    """Whoever watches sees every unit once, with the number of all."""
    for back in range(2):
        export(house, days_before(back))
    told: list[tuple[int, int]] = []
    ingest.run(NIGHT, house.configure(WEB), on_unit=lambda done, of: told.append((done, of)))
    assert told == [(1, 2), (2, 2)]
