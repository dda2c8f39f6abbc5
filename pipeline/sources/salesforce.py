"""Salesforce contacts, leads and person accounts as CSV: Data Export and Data Loader (API names), or reports (labels).

A column is known by its letters alone, so `MailingCountry`, `Mailing Country` and `mailing_country` are one. Names,
phone numbers, birthdays and addresses are not read.

* Ids of 15 and of 18 characters are the same ids: both become 18. The first three tell what a row is (`lifecycle`):
  `003` a contact, `00Q` a lead, `001` an account. Any other, an `Individual` (`0PK`) too, is refused. Where
  [sources.columns] names an own `customer_id`, ids of no such form are taken as they are.
* A converted lead is the contact that it became: its `customer_id` is `ConvertedContactId`.
* Deleted rows and accounts of companies are left out, as are versions that a history table says are superseded.
* Privacy is in `Individual`, a table of its own whose `Id` is no contact's. Join it into the export: `SELECT Id, Email,
  Individual.HasOptedOutProfiling … FROM Contact` (`PersonIndividual.…` for accounts). Who opted out of profiling,
  processing or tracking, or is to be forgotten, must not be personalized; a value that is neither yes nor no counts as
  that. Not having opted out is no consent: without an own consent column consent is unknown, and the configuration
  says what that means. Opting out of e-mail, calls or fax is no objection to personalization, but kept as attributes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.sources import convert, countries, customers, sql
from pipeline.sources.convert import Cell
from pipeline.sources.customers import Contacts
from pipeline.sources.delimited import Broken, Part
from pipeline.sources.export import (
    FILE_ROW,
    ROW_NUMBER,
    Bounds,
    Known,
    Parsed,
    Settings,
    counted,
    require_columns,
)
from pipeline.sources.load import delimited_parts

TABLES = ("customers",)


def _of_individual(*names: str) -> tuple[str, ...]:
    """Names of a column that a query joins in, or that stands in the object itself."""
    return tuple(prefix + name for name in names for prefix in ("individual", "personindividual", ""))


_NAMES: Mapping[str, tuple[str, ...]] = {
    "customer_id": ("id", "contactid", "leadid", "accountid"),
    "converted_contact_id": ("convertedcontactid",),
    "email": ("email", "personemail", "personaccountemail"),
    "consent_personalization": ("consentpersonalization", "consentpersonalizationc"),
    "opted_out_at": ("personalizationoptoutdate", "personalizationoptoutdatec"),
    "country_code": ("mailingcountrycode", "personmailingcountrycode", "countrycode", "billingcountrycode"),
    "country": ("mailingcountry", "personmailingcountry", "country", "billingcountry"),
    "lead_source": ("leadsource", "personleadsource"),
    "created_date": ("createddate",),
    "email_opt_out": ("hasoptedoutofemail", "personhasoptedoutofemail", "emailoptout"),
    "phone_opt_out": ("donotcall", "persondonotcall"),
    "fax_opt_out": ("hasoptedoutoffax", "personhasoptedoutoffax", "faxoptout"),
    "is_person_account": ("ispersonaccount",),
    "is_deleted": ("isdeleted", "deleted"),
    "is_current": ("fivetranactive",),
    "profiling_opt_out": _of_individual("hasoptedoutprofiling", "dontprofile"),
    "processing_opt_out": _of_individual("hasoptedoutprocessing", "dontprocess"),
    "tracking_opt_out": _of_individual("hasoptedouttracking", "donttrack"),
    "gpc": ("gpc", "gpcc", "globalprivacycontrol", "globalprivacycontrolc"),
    "to_forget": _of_individual("shouldforget", "forgetthisindividual"),
}
_OBJECTIONS = ("profiling_opt_out", "processing_opt_out", "tracking_opt_out", "to_forget")
_OPT_OUTS = ("email_opt_out", "phone_opt_out", "fax_opt_out")
_ATTRIBUTES = ("country", "lead_source", "created_date", "lifecycle", *_OPT_OUTS)
_LIFECYCLES = {"003": "contact", "00Q": "lead", "001": "person_account"}
_LEFT_OUT = ("deleted", "superseded_versions", "company_accounts")
_NOTED = ("objection_not_understood", "to_be_forgotten")

_CHECK_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def known(source: Settings) -> Known:
    """Any column may be called otherwise, and an own consent field always is, as are its words for yes and no."""
    return Known(columns=list(_NAMES), values=["consent_personalization"], options=["allow_empty", "delimiter"])


def read(path: Path, source: Settings, bounds: Bounds | None = None) -> Iterator[Parsed]:
    """People as `customers`; `notes` tell who was left out, and when consent was not there or not understood."""
    notes: Counter[str] = Counter()
    parts = delimited_parts(path, source, lambda found: _needed(path, source, found))
    yield from customers.parsed(path, source, _people(parts, source, notes), _contacts, notes)


def _people(parts: Iterable[Part], source: Settings, notes: Counter[str]) -> Iterator[Part]:
    """The parts in our own columns, without those who are left out; both are noted."""
    for raw, broken in parts:
        mapping = _mapping(source, raw.column_names)
        texts = {ours: convert.text_of(convert.origin(raw, theirs)) for ours, theirs in mapping.items()}
        selected, refused = convert.select(raw, _cells(texts, own_id="customer_id" in source.columns))
        people = _without_those_left_out(selected, notes)
        notes.update(counted(**{name: pc.sum(people[name]).as_py() or 0 for name in _NOTED}))
        if not {"consent_personalization", *_OBJECTIONS} & {*mapping} and people.num_rows:
            notes["without_consent_column"] += people.num_rows
        both = Broken(broken.rows + refused[ROW_NUMBER].to_pylist(), broken.reasons + refused["reason"].to_pylist())
        yield people.drop_columns([*_NOTED, *_LEFT_OUT]).rename_columns({ROW_NUMBER: FILE_ROW}), both


def _without_those_left_out(selected: pa.Table, notes: Counter[str]) -> pa.Table:
    """Everybody else; how many were left out is noted under the first reason that applies."""
    for reason in _LEFT_OUT:
        kept = selected.filter(pc.invert(selected[reason]))
        notes.update(counted(**{reason: selected.num_rows - kept.num_rows}))
        selected = kept
    return selected


def _contacts(people: pa.Table) -> Contacts:
    """An objection stands where a browser's would: both outweigh what the consent column says."""
    origins = {name: convert.origin(people, name) for name in people.column_names}
    attributes = {name: convert.text_of(origins[name]) for name in _ATTRIBUTES if name in origins}
    return Contacts({**origins, customers.GPC: origins["objects"]}, attributes)


def _needed(path: Path, source: Settings, found: Sequence[str]) -> list[str]:
    mapping = _mapping(source, found)
    require_columns(path, source, found, {"customer_id": "Id", **mapping})
    return list(dict.fromkeys(mapping.values()))


def _mapping(source: Settings, found: Sequence[str]) -> dict[str, str]:
    """Ours -> theirs, for what the file has and what the configuration says it has."""
    plain = {_plain(theirs): theirs for theirs in reversed(found)}
    known = {ours: next((plain[name] for name in names if name in plain), None) for ours, names in _NAMES.items()}
    return {**{ours: theirs for ours, theirs in known.items() if theirs is not None}, **source.columns}


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _cells(texts: Mapping[str, str], *, own_id: bool) -> Mapping[str, Cell]:
    """A person in our columns, and what is noted or leaves them out."""
    objections = [convert.yes_no(texts[name]) for name in (*_OBJECTIONS, "gpc") if name in texts]
    misread = _any(objection.broken for objection in objections)
    plain = ("email", "consent_personalization", "opted_out_at")
    return {
        **{ours: Cell(texts[ours]) for ours in plain if ours in texts},
        "customer_id": _customer_id(texts, own=own_id),
        "objects": Cell(_any([misread, *(objection.value for objection in objections)])),
        **{name: Cell(text) for name, text in _attributes(texts).items()},
        "objection_not_understood": Cell(misread),
        "to_be_forgotten": Cell(_says(texts, "to_forget", "true")),
        "deleted": Cell(_says(texts, "is_deleted", "true")),
        "superseded_versions": Cell(_says(texts, "is_current", "false")),
        "company_accounts": Cell(_is_company(texts)),
    }


def _any(conditions: Iterable[str]) -> str:
    """Whether one of them holds; never null."""
    return " OR ".join(f"coalesce({condition}, false)" for condition in conditions) or "false"


def _says(texts: Mapping[str, str], name: str, answer: str) -> str:
    """Whether the column is there and holds this answer; never null."""
    return f"coalesce({convert.yes_no(texts[name]).value} = {answer}, false)" if name in texts else "false"


def _is_company(texts: Mapping[str, str]) -> str:
    """An account that is no person: it says so, or, where the column is missing, it has no e-mail address."""
    person = convert.yes_no(texts["is_person_account"]).value if "is_person_account" in texts else "NULL"
    email = texts.get("email", "NULL")
    return f"starts_with({texts['customer_id']}, '001') AND NOT coalesce({person}, {email} IS NOT NULL)"


def _customer_id(texts: Mapping[str, str], *, own: bool) -> Cell:
    """Of 18 characters; `own` ids of another form stay as they are."""
    contact = "NULL" if own else texts.get("converted_contact_id", "NULL")
    value = f"coalesce(nullif(trim({contact}), ''), trim({texts['customer_id']}))"
    kinds = "|".join(_LIFECYCLES)
    ours = f"regexp_full_match({value}, '({kinds})[a-zA-Z0-9]{{12}}([A-Z0-5]{{3}})?')"
    full = f"substr({value}, 1, 15) || {_check_letters(value)}"
    fits = f"{ours} AND (length({value}) = 15 OR {value} = {full})"
    if own:
        return Cell(f"CASE WHEN {fits} THEN {full} ELSE {value} END")
    broken = f"{value} <> '' AND NOT ({fits})"
    reason = (
        "customer_id is no whole id of a contact (003…), lead (00Q…) or account (001…); an Individual's columns belong "
        "into the export of its contact"
    )
    return Cell(full, broken, reason)


def _check_letters(value: str) -> str:
    """The last three characters: which of each five before them are capitals, as the bits of a number."""
    return " || ".join(_check_letter(value, first) for first in (1, 6, 11))


def _check_letter(value: str, first: int) -> str:
    bits = (f"CASE WHEN substr({value}, {first + i}, 1) BETWEEN 'A' AND 'Z' THEN {1 << i} ELSE 0 END" for i in range(5))
    return f"substr('{_CHECK_LETTERS}', 1 + {' + '.join(bits)}, 1)"


def _attributes(texts: Mapping[str, str]) -> dict[str, str]:
    """What may be used of a person, as SQL texts."""
    kinds = sql.lookup(f"substr(trim({texts['customer_id']}), 1, 3)", _LIFECYCLES)
    opt_outs = {name: f"CAST({convert.yes_no(texts[name]).value} AS VARCHAR)" for name in _OPT_OUTS if name in texts}
    plain = {name: texts[name] for name in ("lead_source", "created_date") if name in texts}
    return {**_country(texts), **plain, "lifecycle": kinds, **opt_outs}


def _country(texts: Mapping[str, str]) -> dict[str, str]:
    """The code where there is one, else the country's name as a code, else as it is written."""
    choices = [f"upper(trim({texts['country_code']}))"] if "country_code" in texts else []
    if "country" in texts:
        country = texts["country"]
        choices += [sql.lookup(f"lower(trim({country}))", countries.BY_NAME), country]
    return {"country": f"coalesce({', '.join(choices)})"} if choices else {}
