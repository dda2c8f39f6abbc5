"""Presets of the format `table`: usual names are recognised, and the configuration always wins."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConfigurationError
from pipeline.sources import read_export

EXPORT = "Created Time,User,Post,Action\n2026-06-30 12:00,ann,p1,Love\n2026-06-30 12:01,bob,p1,RETWEET\n"


@pytest.fixture
def parse(write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Reads CSV as a social export."""

    def to_parsed(content: str, *, table: str = "events", preset: str = "social", **settings: Any) -> Any:
        options = {"preset": preset, **settings.pop("options", {})}
        return read_export(
            write("social.csv", content), setting(name="social", table=table, options=options, **settings)
        )

    return to_parsed


def rows(parsed: Any, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of the events, row by row."""
    return list(zip(*(parsed.tables["events"][c].to_pylist() for c in columns), strict=True))


def test_a_social_export_needs_no_mapping(parse: Callable[..., Any]) -> None:
    """Who, which post, what and when are found by their usual names, whatever their capitals."""
    assert rows(parse(EXPORT), "ts", "visitor_id", "content_id", "event", "channel") == [
        (datetime(2026, 6, 30, 12, tzinfo=UTC), "ann", "p1", "like", "social"),
        (datetime(2026, 6, 30, 12, 1, tzinfo=UTC), "bob", "p1", "share", "social"),
    ]


@pytest.mark.parametrize(
    ("action", "event"),
    [
        ("favorite", "like"),
        ("Quote", "share"),
        ("reply", "comment"),
        ("Subscribe", "follow"),
        ("pin", "save"),
        ("poke", "custom:poke"),
    ],
)
def test_actions_become_our_events(action: str, event: str, parse: Callable[..., Any]) -> None:
    """Every network's word for it; a word that nobody knows is a custom event."""
    assert rows(parse(f"date,user,post,action\n2026-06-30,ann,p1,{action}\n"), "event") == [(event,)]


def test_the_configuration_wins(parse: Callable[..., Any]) -> None:
    """Columns, values and constants that are given are not guessed."""
    parsed = parse(
        EXPORT.replace("Created Time,", "Created Time,Handle,")
        .replace("12:00,", "12:00,h1,")
        .replace("12:01,", "12:01,h2,"),
        columns={"customer_id": "User", "visitor_id": "Handle"},
        values={"event": {"Love": "save"}},
        options={"channel": "mastodon", "content_id": "all"},
    )
    assert rows(parsed, "customer_id", "visitor_id", "event", "channel", "content_id") == [
        ("ann", "h1", "save", "mastodon", "all"),
        ("bob", "h2", "share", "mastodon", "all"),
    ]


def test_a_column_that_is_mapped_elsewhere_is_not_taken_twice(parse: Callable[..., Any]) -> None:
    """Who is a customer by configuration is not a visitor by guess."""
    assert rows(parse(EXPORT, columns={"customer_id": "User"}), "customer_id", "visitor_id")[0] == ("ann", None)


@pytest.mark.parametrize("setting_of", [{"preset": "sociable"}, {"table": "content"}])
def test_an_unknown_preset_is_a_configuration_error(setting_of: dict[str, str], parse: Callable[..., Any]) -> None:
    """Also one that is for another table; the message names those that there are."""
    with pytest.raises(ConfigurationError, match='known: "social" \\(for table = "events"\\)'):
        parse(EXPORT, **setting_of)
