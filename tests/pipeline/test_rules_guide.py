"""The guide on rules: its example is a configuration, and what it lists is what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from expectations.schemas import Action
from features.rfm import SEGMENTS
from pipeline import config
from pipeline.apply_rules import DEFAULT_FACTORS
from pipeline.rule_settings import RuleContent, RulePeople

TEXT = (Path(__file__).parents[2] / "docs/guides/rules.md").read_text(encoding="utf-8")


def test_the_example_is_valid_and_shows_every_action(tmp_path: Path) -> None:
    """As it stands there, in a file of its own."""
    (example,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    file = tmp_path / "shortlist.toml"
    file.write_text(example, encoding="utf-8")
    assert [rule.action for rule in config.load(file).rules] == ["pin", "boost", "bury", "exclude", "require"]


def test_every_action_field_and_segment_is_in_the_guide() -> None:
    """And nothing that is no longer there has a default in it."""
    tables = TEXT[TEXT.index("| action |") : TEXT.index("## In which order")]
    words = set(re.findall(r"`(\w+)", tables))
    assert words >= {*get_args(Action), *RuleContent.model_fields, *RulePeople.model_fields}
    assert ", ".join(SEGMENTS) in tables
    assert f"by default {DEFAULT_FACTORS['boost']} and {DEFAULT_FACTORS['bury']}" in tables
