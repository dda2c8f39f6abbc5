"""Contacts of any CRM: only what is listed is read, nothing that looks personal is kept, no objection is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ShortlistError
from pipeline.sources import read_export


@pytest.fixture
def parse(write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Reads CSV as customers of a CRM."""

    def to_parsed(content: str, **settings: Any) -> Any:
        return read_export(write("crm.csv", content), setting(name="crm", table="customers", **settings))

    return to_parsed


def column(parsed: Any, name: str) -> list[Any]:
    """One column of the customers."""
    values: list[Any] = parsed.tables["customers"][name].to_pylist()
    return values


CRM = "customer_id,Email,First Name,Phone,Plan,Seats,Opt\n7, A@Example.com ,Ann,+43 1 5551234,pro,,no\n"
COLUMNS = {"email": "Email", "consent_personalization": "Opt"}


def test_only_what_is_listed_or_mapped_is_an_attribute(parse: Callable[..., Any]) -> None:
    """A name or a phone number gets nowhere because nobody thought of it; how many columns were left is told."""
    parsed = parse(CRM, columns=COLUMNS)
    assert parsed.tables["customers"].drop_columns(["opted_out_at", "row_number"]).to_pylist() == [
        {"customer_id": "7", "email": "a@example.com", "consent_personalization": False, "attributes": []}
    ]
    assert parsed.notes == {"columns_not_read": 4}
    listed = parse(CRM, columns=COLUMNS, options={"attributes": "Plan, Seats"})
    assert column(listed, "attributes") == [[("Plan", "pro")]]
    assert listed.notes == {"columns_not_read": 2}
    mapped = parse(CRM, columns=COLUMNS | {"plan": "Plan"}, values={"plan": {"pro": "paying"}})
    assert column(mapped, "attributes") == [[("plan", "paying")]]
    with pytest.raises(ShortlistError, match="no column 'Seat'"):
        parse(CRM, columns=COLUMNS, options={"attributes": "Seat"})


def test_attributes_that_differ_in_capitals_are_two(parse: Callable[..., Any]) -> None:
    """As in the file."""
    parsed = parse("customer_id,Plan,plan\n7,a,b\n", options={"attributes": "Plan,plan"})
    assert column(parsed, "attributes") == [[("Plan", "a"), ("plan", "b")]]


@pytest.mark.parametrize(
    ("values", "personal"),
    [
        (["pro", "write to Ann@example.com", "free"], True),
        (["a@b", "@home", "50 @ 3.20"], False),
        (["web", "from 192.168.0.1, twice", "app"], True),
        (["1.2.3", "10.2", "999.1.1.1"], False),
        (["web", "2001:db8::8a2e:370:7334", "app"], True),
        (["FE80:0:0:0:1:2:3:4", "x", "y"], True),
        (["10:30:00", "Foo :: Bar", "aa:bb:cc"], False),
        (["+43 1 5551234", "(555) 123-4567", "none"], True),
        (["06.12.34.56.78", "0676/1234567", "5551234567"], True),
        (["+43 1 5551234", "", ""], True),
        (["+43 1 5551234", "pro", "free"], False),
        (["2026-01-02", "2026-01-02 10:00", "30.06.2026"], False),
        (["1782820800123", "20260630", "1234567.89"], False),
        (["1010", "45-54", "100000000"], False),
    ],
)
def test_an_attribute_that_looks_personal_is_left_out_whole(
    values: list[str], personal: bool, parse: Callable[..., Any]
) -> None:
    """One e-mail or IP address is enough; of phone numbers more than half. Dates, amounts and versions are neither."""
    text = "customer_id,note,plan\n" + "".join(f'{n},"{value}",pro\n' for n, value in enumerate(values))
    parsed = parse(text, options={"attributes": "note,plan"})
    kept = [] if personal else ["note"]
    assert [[name for name, _ in row] for row in column(parsed, "attributes")] == [
        [*(kept if value else []), "plan"] for value in values
    ]
    assert parsed.notes == ({"personal_attributes": 1} if personal else {})


@pytest.mark.parametrize(
    ("gpc", "opt", "consent"),
    [("yes", "yes", False), ("no", "yes", True), ("", "yes", True), ("1", "", False), ("?", "yes", False)],
)
def test_global_privacy_control_objects(gpc: str, opt: str, consent: bool | None, parse: Callable[..., Any]) -> None:
    """Whatever else the CRM says; a value that is not understood objects and is counted."""
    parsed = parse(
        f"customer_id,Signal,Opt\n7,{gpc},{opt}\n", columns={"gpc": "Signal", "consent_personalization": "Opt"}
    )
    assert column(parsed, "consent_personalization") == [consent]
    assert parsed.notes == ({"gpc_not_understood": 1} if gpc == "?" else {})


def test_a_column_called_gpc_needs_no_mapping(parse: Callable[..., Any]) -> None:
    """Like every column that carries a name of ours."""
    assert column(parse("customer_id,gpc\n7,true\n8,\n"), "consent_personalization") == [False, None]
