"""HubSpot's contacts: consent errs on the person's side, and no personal data comes along."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ShortlistError
from pipeline.sources import read_export

LABELS = (
    "Record ID,First Name,Last Name,Email,Phone Number,Country/Region,Lifecycle Stage,Lead Status,Create Date,"
    "Unsubscribed from all email,Consent: personalization,Personalization opt-out date"
)


@pytest.fixture
def parse(write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Reads CSV lines as contacts."""

    def to_parsed(*lines: str, **settings: Any) -> Any:
        return read_export(
            write("contacts.csv", "\n".join(lines) + "\n"), setting(name="crm", format="hubspot", **settings)
        )

    return to_parsed


def contacts(parsed: Any) -> list[dict[str, Any]]:
    """The customers' rows."""
    rows: list[dict[str, Any]] = parsed.tables["customers"].to_pylist()
    return rows


def test_labels_and_internal_names_say_the_same(parse: Callable[..., Any]) -> None:
    """An app export and an API export of one contact are one row."""
    app = parse(LABELS, "7,Ann,Lee,Ann@Example.com,+1 5,Austria,Lead,New,2026-01-02 10:00,Yes,Yes,")
    api = parse(
        "hs_object_id,email,country,lifecyclestage,hs_lead_status,createdate,hs_email_optout,consent_personalization",
        "7,ann@example.com ,Austria,Lead,New,2026-01-02 10:00,true,true",
    )
    assert contacts(app) == contacts(api)
    assert contacts(app)[0] == {
        "customer_id": "7",
        "email": "ann@example.com",
        "consent_personalization": True,
        "opted_out_at": None,
        "attributes": [
            ("country", "AT"),
            ("lifecycle_stage", "Lead"),
            ("lead_status", "New"),
            ("created_date", "2026-01-02 10:00"),
            ("email_opt_out", "true"),
        ],
        "row_number": 1,
    }


def test_nothing_personal_is_an_attribute(parse: Callable[..., Any]) -> None:
    """Names, phone numbers and any column that we do not know stay in the file."""
    parsed = parse(f"{LABELS},Salary", "7,Ann,Lee,ann@example.com,+1 555,Germany,,,,,,,100000")
    assert contacts(parsed)[0]["attributes"] == [("country", "DE")]


def test_an_address_in_a_column_that_we_know_is_no_attribute(parse: Callable[..., Any]) -> None:
    """A lead status that salespeople fill with addresses is left out for every contact, and counted."""
    parsed = parse(LABELS, "7,,,,,Germany,,New,,,Yes,", "8,,,,,,,see bob@example.com,,,Yes,")
    assert [row["attributes"] for row in contacts(parsed)] == [[("country", "DE")], []]
    assert parsed.notes == {"personal_attributes": 1}


def test_global_privacy_control_objects(parse: Callable[..., Any]) -> None:
    """Whatever the consent says."""
    parsed = parse(f"{LABELS},Global Privacy Control", "7,,,,,,,,,,Yes,,true", "8,,,,,,,,,,Yes,,false")
    assert [row["consent_personalization"] for row in contacts(parsed)] == [False, True]


@pytest.mark.parametrize(
    ("consent", "expected"),
    [("Yes", True), ("true", True), ("No", False), ("FALSE", False), ("", None), (" ", None), ("Widerspruch", False)],
)
def test_only_a_clear_yes_is_consent(consent: str, expected: bool | None, parse: Callable[..., Any]) -> None:
    """Blank is unknown; a word that we do not understand counts as an objection and is counted."""
    parsed = parse("Record ID,Consent: personalization", f"7,{consent}")
    assert contacts(parsed)[0]["consent_personalization"] is expected
    assert parsed.notes == ({"consent_not_understood": 1} if consent == "Widerspruch" else {})


def test_a_company_has_its_own_words(parse: Callable[..., Any]) -> None:
    """The consent column and its values can be named in the configuration."""
    parsed = parse(
        "Record ID,Personalisierung",
        "7,erlaubt",
        columns={"consent_personalization": "Personalisierung"},
        values={"consent_personalization": {"erlaubt": "yes"}},
    )
    assert contacts(parsed)[0]["consent_personalization"] is True


def test_an_opt_out_is_never_lost(parse: Callable[..., Any]) -> None:
    """A date that can be read is kept; one that cannot still counts as an objection, and the row stays."""
    parsed = parse(LABELS, "7,,,,,,,,,,Yes,2026-06-03", "8,,,,,,,,,,Yes,3rd of June")
    first, second = contacts(parsed)
    assert first["opted_out_at"] == datetime(2026, 6, 3, tzinfo=UTC)
    assert first["consent_personalization"] is True
    assert second["opted_out_at"] is None
    assert second["consent_personalization"] is False
    assert parsed.notes == {"opt_out_date_not_understood": 1}


def test_no_e_mail_is_not_no_personalization(parse: Callable[..., Any]) -> None:
    """Unsubscribing from e-mail leaves the consent as it is."""
    row = contacts(parse(LABELS, "7,,,a@example.com,,,,,,Yes,Yes,"))[0]
    assert row["consent_personalization"] is True
    assert row["attributes"] == [("email_opt_out", "true")]


def test_a_contact_without_id_is_refused_and_a_second_one_is_left_out(parse: Callable[..., Any]) -> None:
    """The first row of an id counts; a row without one is quarantined by its number."""
    parsed = parse("Record ID,Email", "7,a@example.com", ",b@example.com", "7,c@example.com")
    assert [row["email"] for row in contacts(parsed)] == ["a@example.com"]
    assert parsed.rejected.to_pylist() == [
        {"table": "customers", "source_file": "contacts.csv", "row_number": 2, "reason": "customer_id is missing"}
    ]
    assert parsed.notes == {"duplicates": 1, "without_consent_column": 3}


def test_a_file_without_ids_is_refused_whole(parse: Callable[..., Any]) -> None:
    """The message names the column, what there is, the nearest of it and the line to write."""
    with pytest.raises(ShortlistError) as error:
        parse("Record-Id,Email", "7,a@example.com")
    message = str(error.value)
    assert "no column 'Record ID'" in message
    assert "it has: Record-Id, Email" in message
    assert 'customer_id = "Record-Id"' in message
    assert "[sources.columns]" in message


def test_a_mapped_column_must_be_there(parse: Callable[..., Any]) -> None:
    """Consent that was mapped and then renamed in the CRM fails instead of becoming unknown."""
    with pytest.raises(ShortlistError, match="no column 'Personalisation', which holds `consent_personalization`"):
        parse(LABELS, "7,,,,,,,,,,,", columns={"consent_personalization": "Personalisation"})
