"""Any table: mapping, times, constants, and what is numbered here."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations.schemas import NATIVE
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import delimited, read_export, table
from pipeline.sources.export import PART
from tests.examples import examples

NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)
LOG = "when,who,what,did\n2026-06-30T12:00:00Z,v1,c1,VIEW\n"
COLUMNS = {"ts": "when", "visitor_id": "who", "content_id": "what", "event": "did"}


@pytest.fixture
def parse(write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Reads a file of this content as a table."""

    def to_parsed(content: str | bytes, *, name: str = "log.csv", table: str = "events", **settings: Any) -> Any:
        return read_export(write(name, content), setting(name="log", table=table, **settings))

    return to_parsed


def rows(parsed: Any, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of the only table, row by row."""
    (native,) = parsed.tables.values()
    return list(zip(*(native[c].to_pylist() for c in columns), strict=True))


def reasons(parsed: Any) -> list[tuple[int, str]]:
    """Refused rows: number and reason."""
    return list(zip(parsed.rejected["row_number"].to_pylist(), parsed.rejected["reason"].to_pylist(), strict=True))


def test_columns_and_values_are_mapped(parse: Callable[..., Any]) -> None:
    """Ours = theirs for columns, theirs = ours for values; what no map knows is a custom event."""
    log = (
        LOG
        + "2026-06-30 12:00:01,v1,c1,Sign-Up now!\n2026-06-30 12:00:02,v1,c1,like\n2026-06-30 12:00:03,v1,c1,custom:x\n"
    )
    parsed = parse(log, columns=COLUMNS, values={"event": {"VIEW": "view"}})
    assert rows(parsed, "event") == [("view",), ("custom:sign_up_now",), ("like",), ("custom:x",)]
    assert rows(parsed, "visitor_id", "content_id", "ts", "row_number")[0] == ("v1", "c1", NOON, 1)
    assert parsed.tables["events"].schema.types == [*NATIVE["events"].schema.types, pa.int64()]


def test_columns_that_carry_our_names_are_taken(parse: Callable[..., Any]) -> None:
    """A mapping is needed only where names differ; columns that differ in capitals alone are two columns."""
    parsed = parse("ts,visitor_id,content_id,event,Event,extra\n2026-06-30,v,c,like,VIEW,x\n")
    assert rows(parsed, "event", "visitor_id") == [("like", "v")]


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        (None, "2026-06-30T14:00:00+02:00", NOON),
        (None, "2026-06-30 14:00:00 +0200", NOON),
        (None, " 2026-06-30 12:00 ", NOON),
        (None, "2026-06-30", NOON.replace(hour=0)),
        ("iso8601", "2026-06-30T12:00:00.123456Z", NOON.replace(microsecond=123456)),
        ("unix_seconds", "1782820800", NOON),
        ("unix_seconds", "1782820800.25", NOON.replace(microsecond=250_000)),
        ("unix_millis", "1782820800123", NOON.replace(microsecond=123_000)),
        ("unix_micros", "1782820800123456", NOON.replace(microsecond=123456)),
        ("%d/%m/%Y %H:%M", "30/06/2026 12:00", NOON),
        ("%d.%m.%Y %H:%M %z", "30.06.2026 14:00 +0200", NOON),
        (None, "30.06.2026", None),
        (None, "infinity", None),
        (None, "epoch", None),
        (None, "2026-02-30", None),
        ("unix_seconds", "2026-06-30", None),
        ("unix_micros", "99999999999999999999", None),
        ("%d/%m/%Y", "2026-06-30", None),
    ],
)
def test_times_are_read_in_the_form_that_is_set(
    form: str | None, text: str, expected: datetime | None, parse: Callable[..., Any]
) -> None:
    """Without an offset a time is UTC; what is not in the form is refused, never guessed."""
    parsed = parse(f"when,who,what,did\n{text},v,c,like\n", columns=COLUMNS, timestamp=form)
    assert rows(parsed, "ts") == ([(expected,)] if expected else [])
    assert reasons(parsed) == ([] if expected else [(1, f"ts is not a time in the form {form or 'iso8601'}")])


@pytest.mark.parametrize("form", ["unix", "%Q"])
def test_an_unknown_form_of_time_is_a_configuration_error(form: str, parse: Callable[..., Any]) -> None:
    """A typing error in the setting is not a million broken rows."""
    with pytest.raises(ConfigurationError, match=form):
        parse(LOG, columns=COLUMNS, timestamp=form)


def test_seconds_taken_for_milliseconds_are_noticed(parse: Callable[..., Any]) -> None:
    """A wrong unit puts events into 1970, which the contract refuses."""
    parsed = parse("when,who,what,did\n1782820800,v,c,like\n", columns=COLUMNS, timestamp="unix_millis")
    assert reasons(parsed) == [(1, "ts is outside the years 2000 to 2099")]


def test_broken_rows_are_refused_and_the_others_stay(parse: Callable[..., Any]) -> None:
    """One row in twenty is broken, each in its way: quarantined by number and reason; all others are read."""
    broken = {
        7: ("2026-06-30,v,c", "has 3 fields where the header has 5"),
        27: ("someday,v,c,like,1", "ts is not a time in the form iso8601"),
        47: ("2026-06-30,v,c,like,long", "dwell_seconds is not a number"),
        67: ("2026-06-30,v,,like,1", "content_id is missing"),
        87: ("2026-06-30,v,c,like,nan", "dwell_seconds is not a number"),
    }
    lines = [broken[n][0] if n in broken else f'2026-06-30,"v\n{n}",c,like,{n}' for n in range(1, 101)]
    parsed = parse("ts,visitor_id,content_id,event,dwell_seconds\n" + "\n".join(lines))
    assert reasons(parsed) == [(n, reason) for n, (_, reason) in broken.items()]
    assert rows(parsed, "row_number", "dwell_seconds", "visitor_id") == [
        (n, float(n), f"v\n{n}") for n in range(1, 101) if n not in broken
    ]


@pytest.mark.parametrize(
    ("column", "text", "expected", "reason"),
    [
        ("position", "3", 3, None),
        ("position", "3.0", 3, None),
        ("position", "3.5", None, "position is not a whole number"),
        ("position", "99999999999", None, "position is not a whole number"),
        ("position", "", None, None),
        ("value", "-1e3", -1000.0, None),
        ("value", "1,5", None, "value is not a number"),
        ("value", "inf", None, "value is not a number"),
    ],
)
def test_numbers_are_numbers(
    column: str, text: str, expected: float | None, reason: str | None, parse: Callable[..., Any]
) -> None:
    """Empty is null; a decimal comma, a fraction of a place or infinity is refused."""
    parsed = parse(f'ts,visitor_id,content_id,event,{column}\n2026-06-30,v,c,like,"{text}"\n')
    assert rows(parsed, column) == ([] if reason else [(expected,)])
    assert reasons(parsed) == ([(1, reason)] if reason else [])


def test_a_row_repeated_word_for_word_is_one_event(parse: Callable[..., Any]) -> None:
    """Without an event id the mapped values are the event; the id depends on them alone, not on the file."""
    line = "2026-06-30T12:00:00Z,v1,c1,VIEW\n"
    parsed = parse(LOG + line + line.replace("v1", "v2"), columns=COLUMNS)
    assert rows(parsed, "row_number") == [(1,), (3,)]
    assert parsed.duplicates == {"events": 1}
    again = parse(
        "did,what,who,when,other\nVIEW,c1,v1,2026-06-30 14:00:00 +02:00,9\n", columns=COLUMNS, name="other.csv"
    )
    assert rows(again, "event_id") == rows(parsed, "event_id")[:1]


def test_an_event_keeps_its_id_over_the_years(parse: Callable[..., Any]) -> None:
    """The id of a row is what it was in the first release; an order id, which came later, tells events apart."""
    assert rows(parse(LOG, columns=COLUMNS), "event_id") == [("0f9495c5b76eac37fb5306e2f293ddac",)]
    text = "ts,visitor_id,content_id,event,order_id\n2026-06-30,v,c,purchase,1\n2026-06-30,v,c,purchase,2\n"
    assert rows(parse(text), "order_id") == [("1",), ("2",)]


def test_an_event_id_of_their_own_is_kept(parse: Callable[..., Any]) -> None:
    """Two events that differ in nothing but their id are two."""
    parsed = parse("event_id,ts,visitor_id,content_id,event\n1,2026-06-30,v,c,like\n2,2026-06-30,v,c,like\n")
    assert rows(parsed, "event_id") == [("1",), ("2",)]


def test_lines_of_an_order_are_numbered_in_the_files_order(parse: Callable[..., Any]) -> None:
    """Orders may be mixed; a line that is refused keeps its number."""
    text = "order_id,ts,customer_id,amount\na,2026-06-30,k,1\nb,2026-06-30,k,2\na,2026-06-30,k,?\na,2026-06-30,k,4\n"
    parsed = parse(text, table="transactions")
    assert rows(parsed, "order_id", "line_no", "amount") == [("a", 1, 1.0), ("b", 1, 2.0), ("a", 3, 4.0)]


def test_a_transaction_needs_an_order(parse: Callable[..., Any]) -> None:
    """The message names `order_id`, what there is, and the line to write."""
    with pytest.raises(ShortlistError, match=r"holds `order_id`.*has: basket_id, ts.*order_id = \"<their name>\""):
        parse("basket_id,ts,customer_id,amount\n1,2026-06-30,k,1\n", table="transactions")


def test_a_renamed_column_is_named_with_its_nearest(parse: Callable[..., Any]) -> None:
    """The mapped column that is gone, what there is, and the line that would repair it."""
    with pytest.raises(ShortlistError) as error:
        parse(LOG.replace("what", "What ID"), columns=COLUMNS | {"content_id": "whatId"})
    assert str(error.value).endswith(
        "log.csv has no column 'whatId', which holds `content_id`; it has: when, who, What ID, did. The nearest is "
        "'What ID': if the column was renamed, put `content_id = \"What ID\"` under [sources.columns]."
    )


def test_a_file_without_any_id_is_refused_whole(parse: Callable[..., Any]) -> None:
    """Events of nobody cannot be read; either id would do."""
    with pytest.raises(ShortlistError, match="none of the columns visitor_id, customer_id"):
        parse("ts,content_id,event\n2026-06-30,c,like\n")


def test_a_wrong_delimiter_is_guessed(parse: Callable[..., Any]) -> None:
    """A header in one piece hints at the setting; with it the file is read."""
    log = LOG.replace(",", ";")
    with pytest.raises(ShortlistError, match=r"is options\.delimiter = ';' missing"):
        parse(log, columns=COLUMNS)
    assert rows(parse(log, columns=COLUMNS, options={"delimiter": ";"}), "content_id") == [("c1",)]


def test_a_column_that_is_there_twice_is_refused_if_needed(parse: Callable[..., Any]) -> None:
    """Nobody can say which of the two is meant; columns that are not needed may repeat."""
    assert parse("ts,visitor_id,content_id,event,x,x\n2026-06-30,v,c,like,1,2\n").tables["events"].num_rows == 1
    with pytest.raises(ShortlistError, match="has 2 columns named 'event'"):
        parse("ts,visitor_id,content_id,event,event\n2026-06-30,v,c,like,save\n")


def test_a_constant_fills_a_column_that_the_file_lacks(parse: Callable[..., Any]) -> None:
    """It does not replace what the file has, and has the column's type."""
    text = "ts,customer_id,content_id,channel\n2026-06-30,k,c,app\n"
    parsed = parse(text, options={"event": "purchase", "value": "2.5", "channel": "shop"})
    assert rows(parsed, "event", "value", "channel") == [("purchase", 2.5, "app")]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"options": {"delimeter": ";"}}, "has no option 'delimeter'.*did you mean 'delimiter'"),
        ({"columns": {"contentid": "what"}}, "has no column 'contentid'.*did you mean 'content_id'"),
        ({"values": {"evnt": {}}}, "has no values for 'evnt'.*did you mean 'event'"),
        ({"table": "event"}, "one of events, content, customers, transactions"),
        ({"format": "tables"}, "format 'tables' is not known.*did you mean 'table'"),
    ],
)
def test_a_setting_that_nobody_knows_is_refused(settings: Any, message: str, parse: Callable[..., Any]) -> None:
    """Misspelt settings are never ignored."""
    with pytest.raises(ConfigurationError, match=message):
        parse(LOG, **settings)


def test_content_has_tags(parse: Callable[..., Any]) -> None:
    """Split at the separator, trimmed, without empty ones; a JSON list is a list."""
    text = 'content_id,tags\n1,a| b ||c\n2,\n3,"[""x"", ""y|z""]"\n4,"a;b"\n'
    assert rows(parse(text, table="content"), "tags") == [(["a", "b", "c"],), (None,), (["x", "y|z"],), (["a;b"],)]
    assert rows(parse(text, table="content", options={"tag_separator": ";"}), "tags")[3] == (["a", "b"],)


def test_counts_of_nobody_are_popularity(parse: Callable[..., Any]) -> None:
    """How often it happened in the hour; a negative count is refused, a second count of the same hour left out."""
    text = "what,did,hour,n,secs\nc1,VIEW,2026-06-30T12:00,7,90\nc1,VIEW,2026-06-30T12:00,8,\nc2,like,2026-06-30,-1,\n"
    columns = {"content_id": "what", "event": "did", "ts": "hour", "count": "n", "dwell_seconds": "secs"}
    parsed = parse(text, table="popularity", columns=columns, values={"event": {"VIEW": "view"}})
    assert rows(parsed, "content_id", "event", "ts", "count", "dwell_seconds") == [("c1", "view", NOON, 7.0, 90.0)]
    assert reasons(parsed) == [(3, "count is below 0")]
    assert parsed.duplicates == {"popularity": 1}
    with pytest.raises(ShortlistError, match="no column 'count'"):
        parse(text, table="popularity", columns={**columns, "count": "count"})


def test_ids_seen_together_are_links(parse: Callable[..., Any]) -> None:
    """An e-mail address is compared in lower case; a row without any id links nothing."""
    text = "ts,visitor_id,email,order_id\n2026-06-30T12:00Z,v1, Ann@Example.com,#1\n2026-06-30,,,\n"
    parsed = parse(text, table="links")
    assert rows(parsed, "ts", "visitor_id", "customer_id", "email", "order_id") == [
        (NOON, "v1", None, "ann@example.com", "#1")
    ]
    assert reasons(parsed) == [(2, "visitor_id or customer_id or email or order_id is missing")]


def test_no_objection_is_lost_over_its_words(parse: Callable[..., Any]) -> None:
    """What is neither yes nor no is a no; a reason that is not ours is told by the wish; nothing said is no wish."""
    text = (
        "ts,visitor_id,personalization,reason\n2026-06-30,v1,no,GPC\n2026-06-30,v2,Yes,banner\n2026-06-30,v3,never,\n"
        "2026-06-30,v4,,gpc\n"
    )
    parsed = parse(text, table="signals")
    assert rows(parsed, "visitor_id", "personalization", "reason") == [
        ("v1", False, "gpc"),
        ("v2", True, "consent"),
        ("v3", False, "objection"),
    ]
    assert reasons(parsed) == [(4, "personalization is missing")]
    constant = parse("ts,email\n2026-06-30,a@b.at\n", table="signals", options={"personalization": "no"})
    assert rows(constant, "email", "personalization", "reason") == [("a@b.at", False, "objection")]


@pytest.mark.parametrize("kind", ["events", "transactions", "customers"])
def test_parts_change_nothing(kind: str, parse: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in parts of three rows, a file has the same rows, numbers, ids and refusals as in one."""
    kinds = {
        "events": ("ts,visitor_id,content_id,event", "2026-06-30,v{n},c,like"),
        "transactions": ("ts,order_id,customer_id,amount", "2026-06-30,o{m},k,{n}"),
        "customers": ("customer_id,plan", "k{n},p{m}"),
    }
    header, row = kinds[kind]
    lines = ["1" if n % 7 == 5 else row.format(n=n, m=n % 3) for n in range(20)]
    text = "\n".join([header, *lines]) + "\n"
    options = {"options": {"attributes": "plan"}} if kind == "customers" else {}
    whole = parse(text, table=kind, **options)
    monkeypatch.setattr(delimited, "PART", 3)
    in_parts = parse(text, table=kind, **options)
    assert in_parts.tables[kind].to_pylist() == whole.tables[kind].to_pylist()
    assert in_parts.rejected.equals(whole.rejected)
    assert len(reasons(whole)) == 3


def test_events_come_in_parts_as_they_are_read(write: Callable[..., Path], setting: Callable[..., Any]) -> None:
    """No part has more than `PART` rows, and row numbers go on counting."""
    count = PART + 3
    path = write("log.csv", "ts,visitor_id,content_id,event\n" + "2026-06-30,v,c,like\n" * count)
    parts = [part.tables["events"] for part in table.read(path, setting(table="events"))]
    assert [len(part) for part in parts] == [PART, 3]
    assert parts[1]["row_number"].to_pylist() == [PART + 1, PART + 2, PART + 3]


CELL = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=examples(25))
@given(titles=st.lists(CELL, min_size=1, max_size=8))
def test_any_text_comes_through(
    titles: list[str], tmp_path_factory: pytest.TempPathFactory, setting: Callable[..., Any]
) -> None:
    """Quotes, SQL, line breaks and any script: the text of a cell is the text of the column, empty is null."""
    path = tmp_path_factory.getbasetemp() / "titles.csv"
    lines = ["content_id,title", *(f'{n},"{t.replace(chr(34), chr(34) * 2)}"' for n, t in enumerate(titles))]
    path.write_bytes("\n".join(lines).encode())
    parsed = read_export(path, setting(table="content", values={"title": {"'; DROP": 'x"y'}}))
    assert rows(parsed, "title") == [(title or None,) for title in titles]


def test_the_order_of_rows_changes_nothing_but_numbers(parse: Callable[..., Any]) -> None:
    """Shuffled, the same events have the same ids."""
    lines = [f"2026-06-30T12:00:{n:02},v{n % 3},c{n % 5},like\n" for n in range(40)]
    expected = sorted(
        rows(parse("when,who,what,did\n" + "".join(lines), columns=COLUMNS), "event_id", "ts", "visitor_id")
    )
    random.Random(3).shuffle(lines)
    shuffled = parse("when,who,what,did\n" + "".join(lines), columns=COLUMNS)
    assert sorted(rows(shuffled, "event_id", "ts", "visitor_id")) == expected
