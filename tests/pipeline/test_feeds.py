"""Sources that export only their newest content: the catalogue is what all of their files say."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pipeline import config as configuration
from tests.pipeline.lakes import NIGHT, SETTINGS, archive, tables


def test_a_feeds_catalogue_is_the_newest_word_on_everything_that_was_ever_in_it(tmp_path: Path) -> None:
    """What fell out of a feed is old, not gone, unless it is older than the history; another catalogue's is gone."""
    settings = configuration.parse(
        {**SETTINGS, "sources": [{"name": "blog", "format": "rss", "path": "blog_{date:%Y%m%d}.xml"}]},
        tmp_path / "shortlist.toml",
    )
    rows = [
        {"content_id": name, "title": title, "source": source, "day": date(2026, 3, day)}
        for source in ("blog", "shop")
        for name, title, day in (
            ("ancient", "older than the history", 1),
            ("fallen out", "still true", 7),
            ("both", "old", 7),
            ("both", "new", 9),
            ("future", "not known yet", 10),
        )
    ]
    for source, expected in (("blog", ["new", "still true"]), ("shop", ["new"])):
        found = archive(tables(content=[row for row in rows if row["source"] == source]), settings).night(NIGHT)
        assert found.content["title"].to_pylist() == expected
