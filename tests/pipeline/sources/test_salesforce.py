"""Salesforce's people: one id in two lengths, objections that are kept elsewhere, and no personal data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ShortlistError
from pipeline.sources import read_export
from tests.examples import examples

HEADERS = Path(__file__).parents[4] / "shared" / "data" / "crm_headers" / "README.txt"
CONTACT, CONTACT_15 = "003A0000005QB3AIAW", "003A0000005QB3A"
"""A pair that Salesforce's community publishes: the same id with and without its check letters."""
LEAD, ACCOUNT = "00Q000000000001EAA", "001A0000006Vm9rIAC"
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


@pytest.fixture
def parse(write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Reads CSV lines as people."""

    def to_parsed(*lines: str, **settings: Any) -> Any:
        path = write("Contact.csv", "\n".join(lines) + "\n")
        return read_export(path, setting(name="crm", format="salesforce", **settings))

    return to_parsed


def people(parsed: Any) -> list[dict[str, Any]]:
    """The customers' rows."""
    rows: list[dict[str, Any]] = parsed.tables["customers"].to_pylist()
    return rows


def consents(parsed: Any) -> list[bool | None]:
    """The customers' consent, row by row."""
    return [row["consent_personalization"] for row in people(parsed)]


def test_api_names_and_labels_say_the_same(parse: Callable[..., Any]) -> None:
    """A Data Loader export and a report of one contact are one row; the report's id is shorter."""
    loader = parse(
        "Id,LastName,Email,Phone,MailingCountry,LeadSource,CreatedDate,HasOptedOutOfEmail,DoNotCall,"
        "Individual.HasOptedOutProfiling,IsDeleted",
        f"{CONTACT},Lee,Ann@Example.com,+1 5,Austria,Web,2026-01-02T10:00:00.000Z,true,false,false,false",
    )
    report = parse(
        "Contact ID,Last Name,Email,Phone,Mailing Country,Lead Source,Created Date,Email Opt Out,Do Not Call,"
        "Individual: Don't Profile",
        f"{CONTACT_15},Lee,ann@example.com ,+1 5,Austria,Web,2026-01-02T10:00:00.000Z,1,0,0",
    )
    assert people(loader) == people(report)
    assert people(loader)[0] == {
        "customer_id": CONTACT,
        "email": "ann@example.com",
        "consent_personalization": None,
        "opted_out_at": None,
        "attributes": [
            ("country", "AT"),
            ("lead_source", "Web"),
            ("created_date", "2026-01-02T10:00:00.000Z"),
            ("lifecycle", "contact"),
            ("email_opt_out", "true"),
            ("phone_opt_out", "false"),
        ],
        "row_number": 1,
    }
    assert loader.notes == report.notes == {}


@pytest.mark.parametrize(
    ("short", "check"), [("001A0000006Vm9r", "IAC"), ("003A0000005QB3A", "IAW"), ("003A0000008qb1s", "IAA")]
)
def test_the_published_pairs(short: str, check: str, parse: Callable[..., Any]) -> None:
    """Ids whose long form others have published."""
    assert [row["customer_id"] for row in people(parse("Id,Email", f"{short},a@example.com"))] == [short + check]


@settings(max_examples=examples(8))
@given(bodies=st.lists(st.text(LETTERS, min_size=12, max_size=12), min_size=1, max_size=30, unique=True))
def test_a_short_id_and_its_long_form_join(
    bodies: list[str], tmp_path_factory: pytest.TempPathFactory, setting: Callable[..., Any]
) -> None:
    """What is made of 15 characters is 18 long, begins with them, is taken again, and tells capitals apart."""
    path, source = tmp_path_factory.mktemp("ids") / "Contact.csv", setting(name="crm", format="salesforce")
    short = [f"003{body}" for body in bodies]
    path.write_text("\n".join(["Id", *short]))
    long = [row["customer_id"] for row in people(read_export(path, source))]
    assert [(len(one), one[:15]) for one in long] == [(18, one) for one in short]
    path.write_text("\n".join(["Id", *long]))
    assert [row["customer_id"] for row in people(read_export(path, source))] == long
    for one in long:
        bits = [sum(one[at + i].isupper() << i for i in range(5)) for at in (0, 5, 10)]
        assert ["ABCDEFGHIJKLMNOPQRSTUVWXYZ012345".index(letter) for letter in one[15:]] == bits


@pytest.mark.parametrize(
    "column", ["HasOptedOutProfiling", "HasOptedOutProcessing", "HasOptedOutTracking", "ShouldForget"]
)
@pytest.mark.parametrize("prefix", ["", "Individual.", "PersonIndividual."])
def test_each_of_the_individuals_objections_counts(column: str, prefix: str, parse: Callable[..., Any]) -> None:
    """Yes is an objection, no says nothing, and what is neither counts as an objection and is told."""
    ids = [f"00300000000000{i}" for i in range(4)]
    rows = [f"{i},{says}" for i, says in zip(ids, ["true", "false", "", "maybe"], strict=True)]
    parsed = parse(f"Id,{prefix}{column}", *rows)
    assert consents(parsed) == [False, None, None, False]
    forgotten = {"to_be_forgotten": 1} if column == "ShouldForget" else {}
    assert parsed.notes == {"objection_not_understood": 1, **forgotten}


def test_an_objection_outweighs_consent(parse: Callable[..., Any]) -> None:
    """A company's own consent field says yes for one, and the Individual no."""
    rows = (f"{CONTACT},granted,true", f"{LEAD},granted,false", f"{ACCOUNT},refused,false")
    parsed = parse(
        "Id,Consent__c,Individual.HasOptedOutProfiling,PersonEmail",
        *(f"{row},a@example.com" for row in rows),
        columns={"consent_personalization": "Consent__c"},
        values={"consent_personalization": {"refused": "no"}},
    )
    assert consents(parsed) == [False, True, False]


def test_words_for_consent_do_not_turn_objections_round(parse: Callable[..., Any]) -> None:
    """A mapping of the consent column's words is not applied to the Individual's columns."""
    parsed = parse(
        "Id,Optout__c,HasOptedOutProfiling",
        f"{CONTACT},false,true",
        f"{LEAD},true,false",
        columns={"consent_personalization": "Optout__c"},
        values={"consent_personalization": {"true": "no", "false": "yes"}},
    )
    assert consents(parsed) == [False, False]


def test_no_e_mail_no_calls_no_fax_is_not_no_personalization(parse: Callable[..., Any]) -> None:
    """Opting out of channels is kept, and leaves consent unknown; nothing was said about personalization at all."""
    parsed = parse("Id,HasOptedOutOfEmail,DoNotCall,HasOptedOutOfFax", f"{CONTACT},true,true,true")
    assert consents(parsed) == [None]
    opted_out = [("email_opt_out", "true"), ("phone_opt_out", "true"), ("fax_opt_out", "true")]
    assert people(parsed)[0]["attributes"] == [("lifecycle", "contact"), *opted_out]
    assert parsed.notes == {"without_consent_column": 1}


def test_nothing_personal_is_an_attribute(parse: Callable[..., Any]) -> None:
    """Names, phones, addresses, birthdays and any column that we do not know stay in the file."""
    parsed = parse(
        "Id,FirstName,Name,Phone,MobilePhone,MailingStreet,MailingPostalCode,Birthdate,Description,Salary__c",
        f"{CONTACT},Ann,Ann Lee,+1,+2,Main St 1,10115,1980-01-01,rich,100000",
    )
    assert people(parsed)[0]["attributes"] == [("lifecycle", "contact")]
    assert people(parsed)[0]["email"] is None


def test_deleted_people_are_left_out(parse: Callable[..., Any]) -> None:
    """A Data Export holds the recycle bin too."""
    parsed = parse("Id,Email,IsDeleted", f"{CONTACT},a@example.com,1", f"{LEAD},b@example.com,0")
    assert [row["customer_id"] for row in people(parsed)] == [LEAD]
    assert parsed.notes == {"deleted": 1, "without_consent_column": 1}


def test_person_accounts_are_people_and_companies_are_not(parse: Callable[..., Any]) -> None:
    """Accounts of companies are left out, whether or not the export has `IsPersonAccount`."""
    company = "001000000000002"
    told = parse("Id,PersonEmail,IsPersonAccount", f"{ACCOUNT},Ann@example.com,true", f"{company},,false")
    guessed = parse("Id,PersonEmail", f"{ACCOUNT},Ann@example.com", f"{company},")
    assert people(told) == people(guessed)
    assert [(row["customer_id"], row["email"]) for row in people(told)] == [(ACCOUNT, "ann@example.com")]
    assert people(told)[0]["attributes"] == [("lifecycle", "person_account")]
    assert told.notes == guessed.notes == {"company_accounts": 1, "without_consent_column": 1}


def test_a_converted_lead_is_its_contact(parse: Callable[..., Any]) -> None:
    """Before conversion the lead's own id; afterwards that of the contact, in its long form."""
    parsed = parse(
        "Id,Email,ConvertedContactId", f"{LEAD},a@example.com,{CONTACT_15}", "00Q000000000002,b@example.com,"
    )
    assert [row["customer_id"] for row in people(parsed)] == [CONTACT, "00Q000000000002EAA"]


def test_an_own_id_is_taken_as_it_is(parse: Callable[..., Any]) -> None:
    """A mapped id column need not hold Salesforce ids, and a lead keeps it when it is converted."""
    parsed = parse(
        "Id,Web_User__c,ConvertedContactId",
        f"{LEAD},u-17,{CONTACT}",
        f"{ACCOUNT},{CONTACT_15},",
        columns={"customer_id": "Web_User__c"},
    )
    assert [row["customer_id"] for row in people(parsed)] == ["u-17", CONTACT]


@pytest.mark.parametrize("wrong", ["0PK000000000001AAA", "00v000000000001", CONTACT.lower(), "003A0000005QB3AIAX", "7"])
def test_other_objects_ids_are_refused(wrong: str, parse: Callable[..., Any]) -> None:
    """An Individual, a campaign member, an id whose capitals were lost: the reason tells, without the id."""
    parsed = parse("Id,Email", f"{wrong},a@example.com", ",b@example.com", f"{CONTACT},c@example.com")
    assert [row["row_number"] for row in people(parsed)] == [3]
    first, second = parsed.rejected["reason"].to_pylist()
    assert first.startswith("customer_id is no whole id of a contact")
    assert wrong not in first
    assert second == "customer_id is missing"


def test_a_file_without_ids_is_refused_whole(parse: Callable[..., Any]) -> None:
    """The message names the column, what there is and the line to write; so does a mapped column that is gone."""
    with pytest.raises(ShortlistError, match=r"no column 'Id', which holds `customer_id`; it has: Key, Email"):
        parse("Key,Email", "7,a@example.com")
    with pytest.raises(ShortlistError, match="no column 'Consent__c', which holds `consent_personalization`"):
        parse("Id", CONTACT, columns={"consent_personalization": "Consent__c"})


def test_the_header_of_a_real_export(parse: Callable[..., Any]) -> None:
    """A warehouse's copy of Contact in snake case: old versions are left out, the code beats the country's name."""
    if not HEADERS.exists():
        pytest.skip("needs the shared data folder (crm_headers), which only development machines have")
    lines = HEADERS.read_text(encoding="utf-8").splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("[salesforce contact]"))
    header = lines[at + 1].removesuffix(",...").split(",")
    values = {
        "id": CONTACT,
        "individual_id": "0PK000000000001AAA",
        "account_id": ACCOUNT,
        "_fivetran_active": "true",
        "email": "ann@example.com",
        "is_deleted": "false",
        "mailing_country": "Germany",
        "mailing_country_code": "de",
        "lead_source": "Web",
        "has_opted_out_of_email": "false",
    }
    line, old = (
        ",".join((values | change).get(column, "") for column in header)
        for change in ({}, {"_fivetran_active": "false", "mailing_country_code": "", "email": "old@example.com"})
    )
    parsed = parse(",".join(header), old, line)
    (row,) = people(parsed)
    assert (row["customer_id"], row["email"]) == (CONTACT, "ann@example.com")
    assert row["attributes"] == [
        ("country", "DE"),
        ("lead_source", "Web"),
        ("lifecycle", "contact"),
        ("email_opt_out", "false"),
    ]
    assert parsed.notes == {"superseded_versions": 1, "without_consent_column": 1}
