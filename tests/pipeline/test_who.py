"""Who is who, told: every id, each link with the reason why it counts or does not, consent, and what was known when."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from pipeline import ingest, who
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.pseudonyms import Pseudonyms
from pipeline.suppress import known_now
from tests.pipeline.small import House, shortlist, table_source

FIRST, DAY = date(2026, 6, 29), date(2026, 6, 30)
EARLIER, NIGHT = datetime(2026, 6, 30, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
SOURCES = f"""
{table_source("web", "events")}
{table_source("crm", "customers")}
{table_source("shop", "transactions", "required = false")}
{table_source("banner", "signals", "required = false")}
[quality]
min_rows_share = 0
"""
LIMITS = "[identity]\npeople_per_visitor = 2\ncustomers_per_address = 2\n"

Capture = pytest.CaptureFixture[str]


def visits(day: date, *seen: tuple[str, str, str]) -> list[dict[str, object]]:
    """An event for each visitor, customer and order that were seen together, an hour apart."""
    return [
        {
            "event_id": f"{day}-{hour}",
            "ts": f"{day}T{hour:02d}:00:00Z",
            "visitor_id": visitor,
            "customer_id": customer,
            "order_id": order,
            "content_id": "c1",
            "event": "view",
        }
        for hour, (visitor, customer, order) in enumerate(seen)
    ]


def contacts(*rows: tuple[str, str, str]) -> list[dict[str, object]]:
    """A CRM's snapshot: customer, e-mail address, consent."""
    return [dict(zip(("customer_id", "email", "consent_personalization"), row, strict=True)) for row in rows]


OFFICE = [(f"office-{n}", "info@acme.example", "yes") for n in range(3)]
"""Three contacts with one address."""


def write(house: House) -> None:
    """Two days of a small company."""
    known = [("anna", "Anna@Acme.example", "yes"), ("bob", "bob@acme.example", ""), *OFFICE]
    house.write_csv(f"exports/crm_{FIRST:%Y%m%d}.csv", contacts(*known, ("carl", "carl@acme.example", "yes")))
    house.write_csv(f"exports/crm_{DAY:%Y%m%d}.csv", contacts(*known, ("carl", "carl@acme.example", "no")))
    logins = [("tablet", "anna", ""), ("phone", "carl", ""), ("lonely", "", "")]
    house.write_csv(f"exports/web_{FIRST:%Y%m%d}.csv", visits(FIRST, *logins))
    kiosk = [("kiosk", name, "") for name in ("anna", "bob", "dora")]
    later = [("tablet", "bob", ""), ("laptop", "", "order-1"), ("objector", "", ""), *kiosk]
    house.write_csv(f"exports/web_{DAY:%Y%m%d}.csv", visits(DAY, *later))
    order = {"order_id": "order-1", "line_no": 1, "ts": f"{DAY}T01:00:00Z", "email": "anna@acme.example", "amount": 9}
    house.write_csv(f"exports/shop_{DAY:%Y%m%d}.csv", [order])
    gpc = {"ts": f"{DAY}T02:30:00Z", "visitor_id": "objector", "personalization": "false", "reason": "gpc"}
    house.write_csv(f"exports/banner_{DAY:%Y%m%d}.csv", [gpc])


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """The company, with everything loaded."""
    house = House(tmp_path_factory.mktemp("house"))
    config = house.configure(SOURCES + LIMITS)
    write(house)
    ingest.run(NIGHT, config)
    return house


@pytest.fixture(scope="module")
def config(house: House) -> Config:
    """Its configuration."""
    return house.configure(SOURCES + LIMITS)


def ids(report: who.WhoReport) -> set[tuple[str, str | None]]:
    """Type and native id of each."""
    return {(one["id_type"], one["native_id"]) for one in report.ids}


def links(report: who.WhoReport) -> dict[tuple[str | None, str | None], tuple[bool, str]]:
    """By the native ids of the ends (their types where there is none): whether a link counts, and why."""
    return {(_end(link["id"]), _end(link["other"])): (link["counts"], link["why"]) for link in report.links}


def _end(name: dict[str, Any]) -> str:
    return str(name["native_id"] or name["id_type"])


# ---------------------------------------------------------------- ids and links


def test_an_order_joins_a_browser_to_its_customer(config: Config) -> None:
    """The laptop saw the order, the shop knows its address, the CRM whose that is: asked for by any, one person."""
    report = who.run("anna", NIGHT, config)
    assert (report.person_id_type, report.asked_id_type) == ("customer", "customer")
    assert ids(report) == {("customer", "anna"), ("email", None), ("order", None), ("visitor", "laptop")}
    found = links(report)
    joined = {pair for pair, (counts, _) in found.items() if counts}
    assert joined == {("email", "anna"), ("order", "email"), ("laptop", "order")}
    assert {one["source"] for one in report.links if one["counts"]} == {"crm", "shop", "web"}
    for asked, kind in (("laptop", "visitor"), (" ANNA@acme.example", "email")):
        again = who.run(asked, NIGHT, config)
        assert (again.person, ids(again), again.asked_id_type) == (report.person, ids(report), kind)


def test_a_shared_tablet_is_his_who_had_it_last(config: Config) -> None:
    """Both links are told: Bob's counts, Anna's does not, and says whose the tablet is."""
    counts, why = links(who.run("tablet", NIGHT, config))["tablet", "bob"]
    assert (counts, why) == (True, "the browser belongs to whom it was seen with last")
    counts, why = links(who.run("anna", NIGHT, config))["tablet", "anna"]
    assert not counts
    assert why.startswith("the browser belongs to whom it was seen with last: customer bob [")


def test_a_kiosk_is_nobodys_and_says_by_which_limit(config: Config) -> None:
    """It is a person of its own; each of its links has the number of people and the setting."""
    report = who.run("kiosk", NIGHT, config)
    assert (ids(report), report.person_id_type) == ({("visitor", "kiosk")}, "visitor")
    why = "browser of 3 people, more than identity.people_per_visitor = 2: nobody's"
    assert links(report) == {("kiosk", name): (False, why) for name in ("anna", "bob", "dora")}
    assert links(who.run("dora", NIGHT, config)) == {("kiosk", "dora"): (False, why)}


def test_an_address_of_an_office_joins_nobody(config: Config) -> None:
    """info@ of three contacts, asked for by itself and by one of them."""
    why = "email of 3 customers, more than identity.customers_per_address = 2: joins nobody"
    report = who.run("info@acme.example", NIGHT, config)
    assert ids(report) == {("email", None)}
    assert links(report) == {("email", name): (False, why) for name, _, _ in OFFICE}
    assert links(who.run("office-1", NIGHT, config)) == {("email", "office-1"): (False, why)}


def test_a_chain_of_customers_is_told_apart(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two addresses of two customers each would join three: the later link of the middle one is left out."""
    house = House(tmp_path_factory.mktemp("chain"))
    config = house.configure(SOURCES + LIMITS)
    chain = [("a", "ab@x.example", "yes"), ("b", "ab@x.example", "yes")]
    house.write_csv(f"exports/crm_{FIRST:%Y%m%d}.csv", contacts(*chain))
    later = [("b", "bc@x.example", "yes"), ("c", "bc@x.example", "yes")]
    house.write_csv(f"exports/crm_{DAY:%Y%m%d}.csv", contacts(*later))
    for day in (FIRST, DAY):
        ingest.load({"source": "crm", "day": day.isoformat()}, NIGHT, config)
    found = [links(who.run(name, NIGHT, config)) for name in "abc"]
    (why,) = {why for told in found for counts, why in told.values() if not counts}
    assert why.startswith("chain taken apart: it would join more customers than identity.customers_per_address = 2")
    assert sum(counts for told in found for counts, _ in told.values()) == 2


# ---------------------------------------------------------------- consent


def test_an_opt_out_is_told_with_its_source(config: Config) -> None:
    """Carl said no in the newest CRM snapshot: no list, from when on, by which source, and his rows are gone."""
    report = who.run("carl", NIGHT, config)
    consent = report.consent
    (objection,) = consent["objections"]
    assert not consent["may_be_personalized"]
    assert (objection["source"], objection["reason"], objection["id_type"]) == ("crm", "crm", "customer")
    assert "opted out in the CRM (source crm, since 2026-06-30" in consent["why"]
    assert report.rows["events"] == {"rows": 0, "first": None, "last": None}
    assert report.rows["suppressions"] == {"rows": 1, "first": "2026-06-30", "last": "2026-06-30"}


def test_a_signal_of_a_browser_is_told(config: Config) -> None:
    """Global Privacy Control of a browser that nobody logged in with."""
    consent = who.run("objector", NIGHT, config).consent
    assert not consent["may_be_personalized"]
    assert "visitor" in consent["why"]
    assert "the browser sends Global Privacy Control (source banner, since 2026-06-30T02:30" in consent["why"]


def test_silence_is_told_with_its_setting(house: House, config: Config) -> None:
    """Bob's CRM says nothing, Dora is in none, nobody knows the lonely visitor: each has its setting, both ways."""
    allowing = house.configure(SOURCES + LIMITS + '[privacy]\nunknown_consent = "allow"\nunknown_visitors = "deny"\n')
    said = {
        "bob": 'the CRM says neither yes nor no; privacy.unknown_consent = "{}"',
        "dora": 'no CRM knows them; privacy.unknown_consent = "{}"',
        "lonely": 'nobody is known to have logged in with it; privacy.unknown_visitors = "{}"',
    }
    for settings, customers, visitors in ((config, "deny", "allow"), (allowing, "allow", "deny")):
        for name, why in said.items():
            setting = visitors if name == "lonely" else customers
            consent = who.run(name, NIGHT, settings).consent
            assert (consent["why"], consent["may_be_personalized"]) == (why.format(setting), setting == "allow")
    agreed = who.run("anna", NIGHT, config).consent
    assert (agreed["may_be_personalized"], agreed["crm"]) == (True, "agrees")
    assert agreed["why"] == "agrees in the CRM, and nobody objects"
    house.configure(SOURCES + LIMITS)


def test_an_objection_is_told_just_when_it_counts(house: House, config: Config) -> None:
    """For each id: objections are listed if, and only if, `suppress` leaves the person out."""
    suppressed = known_now(house.lake, NIGHT, config).to_pylist()
    pseudonyms = Pseudonyms.of(config)
    everybody: dict[who.Kind, tuple[str, ...]] = {
        "customer": ("anna", "bob", "carl", "dora"),
        "visitor": ("phone", "objector", "tablet", "lonely"),
        "email": ("carl@acme.example", "anna@acme.example"),
    }
    for kind, names in everybody.items():
        for name in names:
            told = who.run(name, NIGHT, config, kind).consent["objections"]
            assert bool(told) == (pseudonyms.one(name, kind) in suppressed)


# ---------------------------------------------------------------- when, and who not


def test_an_earlier_night_knows_less(config: Config) -> None:
    """Before the second day the tablet was Anna's, Carl had not objected, and no order had been seen."""
    anna = who.run("anna", EARLIER, config)
    assert ids(anna) == {("customer", "anna"), ("email", None), ("visitor", "tablet")}
    assert all(link["since"] < EARLIER.isoformat() for link in anna.links)
    assert anna.rows["transactions"]["rows"] == 0
    assert anna.rows["customers"] == {"rows": 1, "first": "2026-06-29", "last": "2026-06-29"}
    assert who.run("carl", EARLIER, config).consent["objections"] == []
    with pytest.raises(ShortlistError, match="knew nobody by this id before 2026-06-30"):
        who.run("laptop", EARLIER, config)


def test_an_unknown_id_says_what_was_tried(house: House, config: Config, capsys: Capture) -> None:
    """Exit code 1, each form with its pseudonym; what was typed, which may be an address, is not repeated."""
    said = shortlist(capsys, "identity", "nobody@x.example", "--config", house.file, "--as-of", "2026-07-01", "--json")
    assert (said.code, said.out) == (1, "")
    pseudonym = f"{Pseudonyms.of(config).one('nobody@x.example', 'email') & (1 << 64) - 1:016x}"[:8]
    assert said.lacks("tried as: customer [", "visitor [", f"email [{pseudonym}]", "--as-of") == []
    assert "nobody@x.example" not in said.err


def test_the_same_text_of_two_people_is_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A visitor called like somebody else's customer id: the customer is meant, unless `--id-type` says otherwise."""
    house = House(tmp_path_factory.mktemp("both"))
    config = house.configure(SOURCES + LIMITS)
    house.write_csv(f"exports/web_{DAY:%Y%m%d}.csv", visits(DAY, ("7", "", ""), ("other", "7", "")))
    ingest.load({"source": "web", "day": DAY.isoformat()}, NIGHT, config)
    report = who.run("7", NIGHT, config)
    assert (ids(report), report.also) == ({("customer", "7"), ("visitor", "other")}, ("visitor",))
    assert ids(who.run("7", NIGHT, config, "visitor")) == {("visitor", "7")}


def test_features_of_the_night_are_counted(house: House, config: Config) -> None:
    """Tables of a night, by night: what was made later is not told of an earlier one."""
    row = {"person_id": [Pseudonyms.of(config).one("bob", "customer")]}
    house.lake.replace_night("person_features", pa.table(row), NIGHT)
    told = {night: who.run("bob", night, config).rows["person_features"] for night in (EARLIER, NIGHT)}
    name = "2026-07-01T000000Z"
    assert told[NIGHT] == {"rows": 1, "first": name, "last": name}
    assert told[EARLIER]["rows"] == who.run("anna", NIGHT, config).rows["person_features"]["rows"] == 0


# ---------------------------------------------------------------- the command


def test_the_command_answers_machines(house: House, capsys: Capture) -> None:
    """Names that stay; no address and no whole pseudonym of one."""
    arguments = ("identity", "anna@acme.example", "--config", house.file, "--as-of", "2026-07-01")
    said = shortlist(capsys, *arguments, "--json")
    assert set(said.json) >= {"person", "person_id_type", "ids", "links", "consent", "rows"}
    assert said.json["rows"]["events"] == {"rows": 3, "first": "2026-06-29", "last": "2026-06-30"}
    assert said.json["rows"]["transactions"]["rows"] == 1
    assert "@" not in said.out


def test_the_command_answers_people(house: House, capsys: Capture) -> None:
    """Everything is on standard error, the address as one that is not stored."""
    arguments = ("identity", "anna@acme.example", "--config", house.file, "--as-of", "2026-07-01")
    said = shortlist(capsys, *arguments)
    assert (said.code, said.out) == (0, "")
    wanted = ("customer anna", "asked for", "may be personalized: agrees in the CRM", "transactions", "laptop")
    assert said.lacks(*wanted) == []
    assert "acme" not in said.err.replace(str(house.folder), "")


def test_an_id_cannot_draw_on_the_terminal(tmp_path_factory: pytest.TempPathFactory, capsys: Capture) -> None:
    """A cookie is written by anybody: markup stays text, and control codes do not reach the terminal."""
    house = House(tmp_path_factory.mktemp("hostile"))
    config = house.configure(SOURCES + LIMITS)
    house.write_csv(f"exports/web_{DAY:%Y%m%d}.csv", visits(DAY, ("[bold]\x1b[2Jx", "", "")))
    ingest.load({"source": "web", "day": DAY.isoformat()}, NIGHT, config)
    said = shortlist(capsys, "identity", "[bold]\x1b[2Jx", "--config", house.file, "--as-of", "2026-07-01")
    assert said.code == 0
    assert "[bold]\N{REPLACEMENT CHARACTER}[2Jx" in said.err
    assert "\x1b" not in said.err
