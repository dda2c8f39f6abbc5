"""The card: the verdict first, the figures as they are, and never more than MLflow keeps."""

from __future__ import annotations

from pipeline.model_card import LONGEST, model_card
from tests.pipeline.test_reports import goal, training


def test_a_card_says_what_the_page_says() -> None:
    """Verdict, data, figures with intervals, what moves the odds, groups, what was not learned, and how to go back."""
    serves = "What serves was grown anew."
    effects = [{"name": "covisit", "meaning": "", "mean": 0.5, "contributions": [], "levels": []}]
    card = model_card(training(goals=[goal(effects=effects, audit="Ranked worst: device, mobile.")], serves=serves))
    assert card.startswith("**Promoted: 8 % better.**")
    for part in (
        "- Rows: 418\N{NARROW NO-BREAK SPACE}220",
        "What serves was grown anew.",
        "| Shortlist | 0.1400 (0.1300 to 0.1500) |",
        "| most popular | 0.0900 |",
        "| model | 0.781 (0.774 to 0.789) | 0.200 | 3.90 | 0.0200 |",
        "Moves the odds most: `covisit`.",
        "Groups of people: Ranked worst: device, mobile.",
        "`purchase` was not learned: 31 positives, 200 are needed.",
        "### Rolling back",
    ):
        assert part in card, part


def test_a_card_fits_whatever_there_is_to_say() -> None:
    """With sixty goals, verdict and the way back are still there; what names hold is never a column or a tag."""
    many = training(goals=[goal(name=f"goal{number}", models={"a|b<script>": {"auc": 0.5}}) for number in range(60)])
    card = model_card(many)
    assert len(card) <= LONGEST
    assert card.startswith("**Promoted: 8 % better.**")
    assert "shortlist rollback-model" in card
    assert "<script>" not in card
    assert "a|b" not in card
    bare = model_card({"project": "acme", "as_of": "2026-03-01", "verdict": "Kept.", "goals": []})
    assert bare.startswith("**Kept.**")
