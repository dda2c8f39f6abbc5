"""Contentful's space export: locales, links, drafts, and the company's own fields."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import read_export
from tests.pipeline.sources.conftest import Setting


def link(kind: str, id_: str) -> dict[str, Any]:
    """A link as Contentful writes it."""
    return {"sys": {"type": "Link", "linkType": kind, "id": id_}}


def content_type(id_: str, display: str | None, *fields: str) -> dict[str, Any]:
    """A content type."""
    return {
        "sys": {"id": id_, "type": "ContentType"},
        "name": id_.title(),
        "displayField": display,
        "fields": [{"id": name, "name": name, "type": "Symbol", "localized": True} for name in fields],
    }


def entry(id_: str, kind: str, fields: dict[str, Any], tags: tuple[str, ...] = (), **system: Any) -> dict[str, Any]:
    """An entry, published unless `system` says otherwise."""
    known = {"createdAt": "2026-06-01T08:00:00.000Z", "version": 5, "publishedVersion": 4, **system}
    return {
        "metadata": {"tags": [link("Tag", tag) for tag in tags]},
        "sys": {"id": id_, "type": "Entry", "contentType": link("ContentType", kind), **known},
        "fields": fields,
    }


ARTICLE = entry(
    "a1",
    "article",
    {
        "headline": {"en-US": "Pricing", "de": "Preise"},
        "slug": {"en-US": "pricing"},
        "topic": {"en-US": link("Entry", "t1")},
        "writers": {"en-US": [link("Entry", "w1"), link("Entry", "w2")]},
        "keywords": {"en-US": ["a", "b"], "de": ["c"]},
        "hero": {"en-US": link("Asset", "x1")},
        "rating": {"en-US": 0.5},
    },
    ("guides", "unnamed"),
    publishedAt="2026-06-30T08:00:00.000Z",
    firstPublishedAt="2026-06-29T08:00:00.000Z",
)
SPACE: dict[str, Any] = {
    "contentTypes": [
        content_type("article", "headline", "headline", "slug", "topic", "writers", "keywords", "hero", "rating"),
        content_type("topic", "name", "name"),
        content_type("settings", None, "color"),
    ],
    "tags": [{"sys": {"id": "guides", "type": "Tag"}, "name": "Guides"}],
    "entries": [
        ARTICLE,
        entry("t1", "topic", {"name": {"en-US": "Money", "de": "Geld"}}),
        entry("w1", "topic", {"name": {"en-US": "jo@example.com (Jo Lee)"}}),
        entry("s1", "settings", {"color": {"en-US": "red"}}),
    ],
    "assets": [],
    "locales": [
        {"code": "de", "fallbackCode": None, "default": False},
        {"code": "de-AT", "fallbackCode": "de", "default": False},
        {"code": "en-US", "fallbackCode": None, "default": True},
    ],
}
MAPPED = {
    "content_id": "fields.slug",
    "category": "fields.topic",
    "tags": "fields.keywords",
    "author": "fields.writers",
    "quality": "fields.rating",
    "url": "fields.hero",
    "expires_at": "sys.createdAt",
}


@pytest.fixture
def parse(write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Reads a space."""

    def to_parsed(space: Any, columns: dict[str, str] | None = None, **options: str) -> Any:
        text = space if isinstance(space, (str, bytes)) else json.dumps(space)
        source = setting(name="cms", format="contentful", columns=columns or {}, options=options)
        return read_export(write("contentful-export.json", text), source)

    return to_parsed


def first(parsed: Any) -> dict[str, Any]:
    """The first row of the content."""
    row: dict[str, Any] = parsed.tables["content"].slice(0, 1).to_pylist()[0]
    return row


def test_an_entry_becomes_content(parse: Callable[..., Any]) -> None:
    """Without a mapping: its display field, its tags by name, when it was first published."""
    parsed = parse(SPACE, content_types="article")
    assert parsed.tables["content"].to_pylist() == [
        {
            "content_id": "a1",
            "title": "Pricing",
            "category": None,
            "tags": ["Guides", "unnamed"],
            "author": None,
            "published_at": datetime(2026, 6, 29, 8, tzinfo=UTC),
            "expires_at": None,
            "status": "published",
            "quality": None,
            "language": "en",
            "url": None,
            "format": None,
            "row_number": 1,
        }
    ]
    assert parsed.notes == {"other_content_types": 3}


def test_every_type_with_a_display_field_counts_unless_told(parse: Callable[..., Any]) -> None:
    """Settings and the like have none."""
    parsed = parse(SPACE)
    assert parsed.tables["content"]["content_id"].to_pylist() == ["a1", "t1", "w1"]
    assert parsed.notes == {"other_content_types": 1}


def test_mapped_fields_and_links_are_followed(parse: Callable[..., Any]) -> None:
    """To the linked entry's display field, without an address; assets, and what was not exported, say nothing."""
    row = first(parse(SPACE, MAPPED, content_types="article"))
    assert {name: row[name] for name in MAPPED} == {
        "content_id": "pricing",
        "category": "Money",
        "tags": ["a", "b"],
        "author": "Jo Lee",
        "quality": 0.5,
        "url": None,
        "expires_at": datetime(2026, 6, 1, 8, tzinfo=UTC),
    }


def test_a_locale_falls_back(parse: Callable[..., Any]) -> None:
    """Austrian to German, and to the default where a field is not translated; in links, too."""
    row = first(parse(SPACE, MAPPED, content_types="article", locale="de-AT"))
    assert (row["title"], row["category"], row["tags"], row["content_id"]) == ("Preise", "Geld", ["c"], "pricing")
    assert row["language"] == "de"


@pytest.mark.parametrize(
    ("system", "status"),
    [
        ({}, "published"),
        ({"publishedVersion": None}, "draft"),
        ({"archivedVersion": 6, "publishedVersion": None}, "archived"),
        ({"archivedAt": "2026-06-30T08:00:00Z"}, "archived"),
    ],
)
def test_only_what_is_published_is(system: dict[str, Any], status: str, parse: Callable[..., Any]) -> None:
    """A draft's date is that of its making."""
    row = first(parse(SPACE | {"entries": [entry("a", "topic", {}, **system)]}))
    assert (row["status"], row["published_at"]) == (status, datetime(2026, 6, 1, 8, tzinfo=UTC))


def test_what_the_delivery_api_gave_is_published(parse: Callable[..., Any]) -> None:
    """Its entries have a revision, and no version of any kind."""
    delivered = entry("a", "topic", {}, revision=1)
    del delivered["sys"]["version"], delivered["sys"]["publishedVersion"]
    assert first(parse(SPACE | {"entries": [delivered]}))["status"] == "published"


def test_a_bad_entry_costs_itself(parse: Callable[..., Any]) -> None:
    """Reasons name our column, or theirs where it is not mapped."""
    kept = entry("a4", "article", {"slug": {"en-US": "ok"}})
    entries = [
        entry("a1", "article", {"slug": {"en-US": "jo@example.com"}}),
        entry("a2", "article", {"slug": {"en-US": "b"}, "rating": {"en-US": "good"}}),
        entry("a3", "article", {"slug": {"en-US": "c"}}, createdAt="soon"),
        entry("a5", "article", {}),
        kept,
        "nonsense",
    ]
    parsed = parse(SPACE | {"entries": entries}, {"content_id": "fields.slug", "quality": "fields.rating"})
    assert parsed.tables["content"]["content_id"].to_pylist() == ["ok"]
    assert parsed.rejected["reason"].to_pylist() == [
        "content_id holds an e-mail address",
        "quality is not a number",
        "createdAt is not a time in the form iso8601",
        "content_id is missing",
    ]
    assert parsed.notes == {"other_content_types": 1}


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"category": "topic"}, {}, '"fields.category"'),
        ({"category": "fields.topics"}, {}, "no field 'topics'.*did you mean 'topic'"),
        ({"category": "fields.color"}, {}, "no field 'color'"),
        ({"status": "sys.id"}, {}, "has no column 'status'"),
        ({}, {"content_types": "articles"}, "no content type 'articles'.*did you mean 'article'"),
        ({}, {"locale": "en"}, "no locale 'en'.*did you mean 'en-US'"),
    ],
)
def test_settings_that_do_not_fit_the_space_are_refused(
    columns: dict[str, str], options: dict[str, str], message: str, parse: Callable[..., Any]
) -> None:
    """The message has the nearest name."""
    with pytest.raises(ConfigurationError, match=message):
        parse(SPACE, columns, **options)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (json.dumps(SPACE)[:-9], "no whole JSON document"),
        ("[" * 100_000, "no whole JSON document"),
        ("[]", "has no `contentTypes`"),
        ({"entries": [], "locales": []}, "has no `contentTypes`"),
        (SPACE | {"entries": []}, "has no rows"),
        (json.dumps(SPACE).replace("Pricing", "\u00e9").encode("cp1252") + b"\xe9", "is not utf-8"),
    ],
)
def test_a_document_that_is_no_space_is_refused_whole(document: Any, message: str, parse: Callable[..., Any]) -> None:
    """Cut off, too deep, another kind of document, empty, mislabelled."""
    with pytest.raises(ShortlistError, match=message):
        parse(document)


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.text(max_size=5),
        st.just(link("Entry", "a1")),
        st.just(link("Entry", "gone")),
        st.just(link("Asset", "x")),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=4,
)


@given(value=VALUES)
def test_no_value_of_a_field_stops_the_night(value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Rich text, links to oneself and to nothing, lists of lists: content, with what can be said."""
    path = tmp_path_factory.mktemp("contentful") / "space.json"
    fields = {"headline": {"en-US": value}, "topic": {"en-US": value}, "keywords": {"en-US": value}}
    path.write_text(json.dumps(SPACE | {"entries": [entry("a1", "article", fields)]}), encoding="utf-8")
    columns = {"category": "fields.topic", "tags": "fields.keywords", "author": "fields.topic"}
    parsed = read_export(path, Setting(name="cms", format="contentful", columns=columns))
    assert parsed.tables["content"]["content_id"].to_pylist() == ["a1"]
