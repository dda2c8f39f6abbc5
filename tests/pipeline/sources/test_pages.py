"""Content ids from URLs: one rule, in SQL and in Python, that lets no e-mail address through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigurationError
from pipeline.sources import pages, sql

PARTS = st.text(alphabet="abä/?#@%40.: \n-", max_size=12)
URLS = st.one_of(st.none(), PARTS, PARTS.map("https://www.example.com/".__add__))


@pytest.mark.parametrize(
    ("url", "path", "last"),
    [
        ("https://www.example.com/guides/pricing/?utm=a#b", "/guides/pricing", "pricing"),
        ("/guides/pricing", "/guides/pricing", "pricing"),
        ("https://www.example.com/", None, None),
        ("https://www.example.com", None, None),
        ("https://www.example.com?x=1", None, None),
        ("https://www.example.com/u/jo@example.com/home", None, None),
        ("https://www.example.com/u/jo%40example.com", None, None),
        ("https://www.example.com/a?mail=jo@example.com", "/a", "a"),
        ("https://user@www.example.com/a", "/a", "a"),
        ("", None, None),
        (None, None, None),
    ],
)
def test_a_page_is_known_by_its_path(
    url: str | None, path: str | None, last: str | None, setting: Callable[..., Any]
) -> None:
    """Query, fragment and trailing slashes do not matter; a front page and an address are no content."""
    assert pages.content_from(url, setting()) == path
    for mode, expected in {"path": path, "last_part": last, "true": last}.items():
        assert pages.content_from(url, setting(options={"content_from_url": mode})) == expected


@given(st.lists(URLS, min_size=1, max_size=20), st.sampled_from(["path", "last_part"]))
def test_sql_and_python_agree(setting: Callable[..., Any], urls: list[str | None], mode: str) -> None:
    """Formats in SQL and formats in Python name the same page alike."""
    source = setting(options={"content_from_url": mode})
    with sql.connection(given_=pa.table({"url": pa.array(urls, pa.string())})) as con:
        query = (
            f"SELECT {pages.content_of('url', source)} AS content, {pages.personal_of('url')} AS personal FROM given_"
        )
        found = con.sql(query).to_arrow_table()
    assert found["content"].to_pylist() == [pages.content_from(url, source) for url in urls]
    assert found["personal"].to_pylist() == [pages.is_personal(url) for url in urls]


def test_another_way_to_name_content_is_refused(setting: Callable[..., Any]) -> None:
    """A misspelt option would give every content another id."""
    with pytest.raises(ConfigurationError, match=r'"path" or "last_part", found \'slug\''):
        pages.content_from("/a", setting(options={"content_from_url": "slug"}))
