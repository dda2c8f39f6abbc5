"""One person's features in words: whose they are, of which night, and why there may be none; nobody else is named."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from features import spec
from pipeline import explain, forget, ingest
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.pseudonyms import Pseudonyms
from tests.pipeline.small import House, shortlist, table_source

DAY = date(2026, 6, 30)
NIGHT = datetime(2026, 7, 1, tzinfo=UTC)
SOURCES = f"""
{table_source("web", "events")}
{table_source("crm", "customers")}
[quality]
min_rows_share = 0
"""
PEOPLE = ("anna", "bob")
OTHERS = ("bob", "carl", "phone", "tablet", "acme")

Capture = pytest.CaptureFixture[str]


def pseudonym(house: House, customer: str) -> int:
    """Who a customer is in the lake."""
    return Pseudonyms.of(house.configure(SOURCES)).one(customer, "customer")


def built(house: House, night: datetime = NIGHT) -> None:
    """Write a night as `build_features` does: what Anna and Bob did, with a column that no list has."""
    names = [f.name for f in spec.features(("click",), ("sport",)) if f.group == "person" and f.name[1:] != "_score"]
    columns = {name: [0.0 if "category" in name else 3.0, 0.0] for name in names} | {
        "purchase_recency_days": [float("nan"), 12.0]
    }
    people = pa.table({"person_id": [pseudonym(house, name) for name in PEOPLE], **columns, "left_over": [1.5, None]})
    house.lake.replace_night("person_features", people, night)


def liked(house: House) -> None:
    """What Anna likes; one category is called as nobody should call it."""
    rows = {
        "person_id": [pseudonym(house, name) for name in ("anna", "anna", "bob")],
        "kind": ["author", "category", "category"],
        "name": ["Ada", "[red]sport\x1b[2J", "news"],
        "affinity_7d": [0.2, 0.6, 0.9],
        "affinity_30d": [0.3, 0.4, 0.9],
    }
    house.lake.replace_night("person_affinities", pa.table(rows), NIGHT)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Anna agrees (on two browsers), Bob too, Carl has objected; the night is built."""
    house = House(tmp_path_factory.mktemp("house"))
    fill(house)
    return house


def fill(house: House) -> None:
    """Load the company and build its night."""
    config = house.configure(SOURCES)
    house.write_csv(
        f"exports/crm_{DAY:%Y%m%d}.csv",
        [
            {"customer_id": name, "email": f"{name}@acme.example", "consent_personalization": consent}
            for name, consent in (("anna", "yes"), ("bob", "yes"), ("carl", "no"), ("dora", "yes"))
        ],
    )
    house.write_csv(
        f"exports/web_{DAY:%Y%m%d}.csv",
        [
            {
                "event_id": f"e{i}",
                "ts": f"{DAY}T{i:02d}:00:00Z",
                "visitor_id": browser,
                "customer_id": customer,
                "content_id": "c1",
                "event": "view",
            }
            for i, (browser, customer) in enumerate([("laptop", "anna"), ("tablet", "bob"), ("phone", "")])
        ],
    )
    ingest.run(NIGHT, config)
    built(house)
    liked(house)


@pytest.fixture(scope="module")
def config(house: House) -> Config:
    """Its configuration."""
    return house.configure(SOURCES)


def said(report: explain.ExplainReport) -> dict[str, str]:
    """The words of each feature."""
    return {value["name"]: value["words"] for values in report.topics.values() for value in values}


@pytest.mark.parametrize("asked", ["anna", "laptop", "Anna@ACME.example"])
def test_any_id_leads_to_the_person(asked: str, config: Config) -> None:
    """A customer id, a browser's and an address of Anna's all give Anna's values, by topic."""
    report = explain.run(asked, NIGHT, config)
    words = said(report)
    assert words["events_7d"] == "3 things done in 7 days"
    assert words["purchase_recency_days"] == "never bought"
    assert words["last_session_category_sport"].endswith("in the category sport")
    assert list(report.topics)[:2] == ["Activity", "Goals"]
    assert report.topics["Not in the list of features"] == [
        {"name": "left_over", "unit": "", "value": 1.5, "words": "1.5"}
    ]
    assert {"r_score", "read_7d"} <= set(report.absent)


def test_each_gets_their_own(config: Config) -> None:
    """Bob's row is not Anna's."""
    words = said(explain.run("bob", NIGHT, config))
    assert words["events_7d"] == "nothing done in 7 days"
    assert words["purchase_recency_days"] == "last bought 12 days ago"
    assert [row["name"] for row in explain.run("bob", NIGHT, config).affinities] == ["news"]


def test_tastes_are_told_the_dearest_first(config: Config) -> None:
    """By the affinity with the longest memory."""
    first, second = explain.run("anna", NIGHT, config).affinities
    assert (first["kind"], first["name"]) == ("category", "[red]sport\x1b[2J")
    assert (second["kind"], second["name"]) == ("author", "Ada")
    assert second["words"] == "20 % (7d), 30 % (30d) of what was done, by half-life"


def test_a_night_without_affinities_has_features(house: House, config: Config) -> None:
    """They are told where there are any."""
    later = NIGHT + timedelta(hours=6)
    built(house, later)
    assert explain.run("anna", later, config).affinities == []
    assert explain.latest(NIGHT + timedelta(days=9), config) == later
    assert explain.latest(NIGHT, config) == NIGHT
    assert explain.latest(NIGHT - timedelta(days=9), config) == NIGHT - timedelta(days=9)


# ---------------------------------------------------------------- who is not explained


def test_a_night_that_was_not_built_is_named(config: Config) -> None:
    """With what there is, and the command that makes it."""
    with pytest.raises(ShortlistError) as raised:
        explain.run("anna", NIGHT - timedelta(days=1), config)
    for words in ("person_features", "no features of the night 2026-06-30", "the newest", "shortlist features --as-of"):
        assert words in str(raised.value)


def test_an_empty_lake_has_no_night(tmp_path: Path) -> None:
    """Before anything was built the same is said, and nothing is made."""
    house = House(tmp_path)
    config = house.configure(SOURCES)
    with pytest.raises(ShortlistError, match="no night at all"):
        explain.run("anna", NIGHT, config)
    assert explain.latest(NIGHT, config) == NIGHT
    assert not house.lake.root.exists()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("zoe", ("knew nobody by this id", "tried as: customer [", "Check the spelling")),
        ("carl", ("objects to being personalized", "the person of this customer id [", "shortlist identity")),
        ("carl@acme.example", ("objects to being personalized", "the person of this email id [")),
        ("dora", ("has no row for the person of this customer id", "365 days", "shortlist identity")),
        ("phone", ("has no row for the person of this visitor id", "shortlist features")),
    ],
)
def test_who_has_no_features_is_told_why(asked: str, words: tuple[str, ...], config: Config) -> None:
    """Unknown, objecting, and silent people differ; what was typed is not repeated."""
    with pytest.raises(ShortlistError) as raised:
        explain.run(asked, NIGHT, config)
    message = str(raised.value).replace(str(config.file.parent), "")
    assert [part for part in words if part not in message] == []
    assert asked not in message


def test_a_forgotten_person_is_gone(tmp_path: Path) -> None:
    """Afterwards there is nothing left to explain, by whichever id of theirs."""
    house = House(tmp_path)
    fill(house)
    config = house.configure(SOURCES)
    assert explain.run("anna", NIGHT, config).person
    forget.run(NIGHT, config, ["anna"])
    for asked in ("anna", "laptop", "anna@acme.example"):
        with pytest.raises(ShortlistError, match=r"was forgotten with `shortlist forget`|knew nobody by this id"):
            explain.run(asked, NIGHT, config)
    with pytest.raises(ShortlistError, match="was forgotten"):
        explain.run("anna", NIGHT, config)


# ---------------------------------------------------------------- the command


def command(house: House, *options: object) -> tuple[object, ...]:
    """`shortlist features --explain` for Anna."""
    return ("features", "--explain", "anna@acme.example", "--config", house.file, *options)


def test_the_command_answers_machines(house: House, capsys: Capture) -> None:
    """One JSON object, names that stay, null for what is missing, and no id of anybody."""
    told = shortlist(capsys, *command(house, "--as-of", "2026-07-01", "--json"))
    assert told.code == 0
    report = json.loads(told.out, parse_constant=pytest.fail)
    assert set(report) == {"as_of", "person", "asked_id_type", "also", "topics", "affinities", "absent"}
    (bought,) = [v for v in report["topics"]["Recency, frequency, money"] if v["name"] == "purchase_recency_days"]
    assert bought == {"name": "purchase_recency_days", "unit": "days", "value": None, "words": "never bought"}
    assert [name for name in (*OTHERS, "anna", "laptop") if name in told.out] == []


def test_the_command_answers_people(house: House, capsys: Capture) -> None:
    """Tables on standard error, of the newest night unless told otherwise; hostile names stay text."""
    told = shortlist(capsys, *command(house, "--as-of", "2026-07-01"))
    assert (told.code, told.out) == (0, "")
    assert told.lacks("3 things done in 7 days", "never bought", "Last session", "written without") == []
    assert told.lacks("shares that are 0: --json has all") == []
    assert "category_sport" not in told.err
    assert "[red]sport\N{REPLACEMENT CHARACTER}" in told.err
    assert "\x1b" not in told.err
    assert [name for name in (*OTHERS, "anna") if name in told.err.replace(str(house.folder), "")] == []
    newest = shortlist(capsys, *command(house))
    assert newest.code == 0
    assert newest.lacks("as known before 2026-07-01T06:00:00") == []


def test_the_command_fails_as_others_do(house: House, capsys: Capture) -> None:
    """Exit code 1 for an unknown person, nothing for machines; 2 for a kind of id that there is not."""
    unknown = shortlist(capsys, "features", "--explain", "nobody", "--config", house.file, "--as-of", "2026-07-01")
    assert (unknown.code, unknown.out) == (1, "")
    assert unknown.lacks("error:", "knew nobody by this id") == []
    assert shortlist(capsys, *command(house, "--id-type", "cookie")).code == 2
    visitor = shortlist(capsys, *command(house, "--id-type", "visitor", "--as-of", "2026-07-01"))
    assert (visitor.code, visitor.lacks("tried as: visitor [")) == (1, [])
