"""Why a content stands in a list, in words: what is true, the strongest first, and nothing that is not to be named."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import spec
from models.reasons import MOST, THEMES, Facts, Words, themes
from models.templates import NAMES, TEMPLATES

NOTHING: dict[str, Any] = {
    "category": -1,
    "count": 0,
    "tag": -1,
    "author": -1,
    "readers": False,
    "age_days": 9.0,
    "missed": False,
    "popular": False,
    "ruled": False,
}
WORDS = {"category": ["pricing", "tools"], "tag": ["saas", "tax"], "author": ["Ann {count}", "Bob"]}


def facts(*rows: dict[str, Any]) -> Facts:
    """Rows of which only so much is true."""
    return Facts(**{one.name: np.array([{**NOTHING, **row}[one.name] for row in rows]) for one in fields(Facts)})


def said(row: dict[str, Any], strength: dict[str, float] | None = None, **templates: str) -> list[str | None]:
    """The reasons of one row."""
    strengths = None if strength is None else np.array([[strength.get(theme, 0.0) for theme in THEMES]])
    return [column[0].as_py() for column in Words(WORDS, {**TEMPLATES, **templates}).reasons(facts(row), strengths)]


@pytest.mark.parametrize(
    ("row", "first"),
    [
        ({"category": 0, "count": 3}, "Because you read 3 pieces about pricing this week"),
        ({"category": 1, "count": 1}, "Because you like tools"),
        ({"tag": 1}, "Because you read about tax"),
        ({"author": 0}, "More by Ann {count}, whom you read"),
        ({"readers": True}, "Popular with people who read what you read"),
        ({"age_days": 1.0}, "New"),
        ({"age_days": 1.0, "missed": True}, "New since your last visit"),
        ({"age_days": np.nan, "missed": True}, "Selected for you"),
        ({"popular": True}, "Popular right now"),
        ({"category": 0, "ruled": True}, "Picked by our editors"),
    ],
)
def test_what_is_true_is_said(row: dict[str, Any], first: str) -> None:
    """Without a model the first that is true, and nothing else where nothing else is; names are no templates."""
    found = said(row)
    assert found[0] == first
    assert len([one for one in found if one]) == 1 + ("category" in row and "ruled" in row)


def test_the_strongest_comes_first_and_what_took_the_score_down_is_no_reason() -> None:
    """By what each theme adds, at most three; true but of no use is not said."""
    row = {"category": 0, "tag": 0, "author": 1, "readers": True, "popular": True}
    strength = {"category": 0.1, "tag": -0.2, "author": 0.3, "readers": 0.4, "popular": 0.01, "new": 9.0}
    popular, author, category = said(row, strength)
    assert popular == TEMPLATES["readers"]
    assert author == "More by Bob, whom you read"
    assert category == "Because you like pricing"
    assert said(row, {"tag": -1.0}) == ["Selected for you", None, None]
    assert said({**row, "ruled": True}, strength)[:2] == [TEMPLATES["rule"], TEMPLATES["readers"]]


def test_a_template_that_says_nothing_is_never_given() -> None:
    """The next reason takes its place; braces are filled by name."""
    assert said({"author": 1, "popular": True}, author="") == ["Popular right now", None, None]
    assert (
        said({"category": 0, "count": 2}, category_counted="{category}: {count}, {category}")[0]
        == "pricing: 2, pricing"
    )


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20), st.booleans(), st.randoms(use_true_random=False))
def test_rows_say_the_same_in_any_company(seeds: list[int], model: bool, random: Any) -> None:
    """Whoever stands beside them, in whatever order; no reason twice, none after a gap."""
    rows, strengths = [], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        flags = {name: bool(rng.integers(2)) for name in ("readers", "missed", "popular", "ruled")}
        codes = {name: int(rng.integers(-1, 2)) for name in ("category", "tag", "author")}
        rows.append({**flags, **codes, "count": int(rng.integers(4)), "age_days": float(rng.integers(5))})
        strengths.append(rng.normal(size=len(THEMES)))
    order = list(range(len(rows)))
    random.shuffle(order)

    def texts(at: list[int]) -> list[list[str | None]]:
        strength = np.array([strengths[one] for one in at]) if model else None
        columns = Words(WORDS).reasons(facts(*(rows[one] for one in at)), strength)
        return [list(row) for row in zip(*(column.to_pylist() for column in columns), strict=True)]

    found = texts(list(range(len(rows))))
    assert texts(order) == [found[one] for one in order]
    for one, row in enumerate(found):
        assert texts([one]) == [row]
        there = [text for text in row if text is not None]
        assert there == row[: len(there)]
        assert 1 <= len(set(there)) == len(there) <= MOST


def test_every_feature_of_a_content_and_a_pair_has_its_theme() -> None:
    """Those that speak of what a customer would not care for have none, and are these."""
    names = [*spec.names(("read",), "content"), *spec.names((), "pair")]
    found = themes(names)
    assert set(found.tolist()) == {-1, *range(len(THEMES))}
    without = {name for name, theme in zip(names, found.tolist(), strict=True) if theme < 0}
    assert without == {
        "quality",
        "idle_days",
        "affinity_format",
        "category_shown_30d",
        "seen",
        "engaged_days_ago",
        "shown",
        "shown_days_ago",
        "shown_unanswered",
    }


def test_templates_name_only_what_there_is() -> None:
    """Each name in braces is one that is filled."""
    import re

    for kind, text in TEMPLATES.items():
        assert set(re.findall(r"\{(\w+)\}", text)) <= set(NAMES.get(kind, ()))
