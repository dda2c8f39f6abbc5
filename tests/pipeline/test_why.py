"""Reasons in the published tables: true of the person, in the company's words, and without what is not to be named."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from models.templates import TEMPLATES
from pipeline import config as configuration
from pipeline.config import Config
from pipeline.errors import ConfigurationError
from pipeline.lake import Lake
from pipeline.opened import Opened
from pipeline.reason_settings import Reasons
from pipeline.serving import NO_MODEL, Model
from tests.pipeline.ranking import tables_of
from tests.worlds import World

AS_OF = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def config(small_night: World) -> Config:
    """Of a small published night, which nothing here changes."""
    return configuration.load(small_night.config)


@pytest.fixture(scope="module")
def opened(config: Config) -> Opened:
    """That night."""
    return Opened.of(AS_OF, config, Lake.of(config))


def told(opened: Opened, config: Config, *, model: bool = False, **reasons: object) -> pa.Table:
    """People's own lists, with these settings."""
    bare = Opened(opened.found, opened.model if model else Model(None, NO_MODEL), opened.native, opened.people)
    changed = config.model_copy(update={"reasons": Reasons.model_validate(reasons)})
    return tables_of(bare, changed)["people"]


def texts(table: pa.Table) -> list[str]:
    """All that is said."""
    columns = [table[name] for name in ("reason", "reason_2", "reason_3")]
    return [text for column in columns for text in column.to_pylist() if text is not None]


def test_reasons_are_true_of_the_person_and_the_content(opened: Opened, config: Config) -> None:
    """Counted anew from the log: so many contents of that category in a week, for each row that says so."""
    table = told(opened, config)
    history, catalogue = opened.found.history, opened.found.history.catalogue
    week = history.active & history.within(7)
    place = {one: at for at, one in enumerate(catalogue.ids.to_pylist())}
    native = {
        (row["native_id"], row["id_type"]): person
        for row, person in zip(opened.native.to_pylist(), opened.people.tolist(), strict=True)
    }
    checked = 0
    for row in table.filter(pc.match_substring_regex(table["reason"], "^Because you read .* this week$")).to_pylist():
        found = re.fullmatch(r"Because you read (\d+) pieces about (.+) this week", row["reason"])
        assert found
        content, person = place[row["content_id"]], native[row["person_id"], row["id_type"]]
        category = catalogue.category[content]
        assert found[2] == catalogue.categories[category]
        own = week & (history.person == person) & (catalogue.category[history.content] == category)
        assert int(found[1]) == len(np.unique(history.content[own]))
        checked += 1
    assert checked > 20
    assert len(set(texts(table))) > 10


def test_what_is_sensitive_is_never_named(opened: Opened, config: Config) -> None:
    """Neither a category, nor any author, however it is written; the rest still is, and no list is another one."""
    plain = told(opened, config)
    names = opened.found.history.catalogue
    category = max(names.categories, key=lambda name: sum(f"about {name} this" in text for text in texts(plain)))
    named = {f"Because you like {category}", f"about {category} this week"}

    def names_it(text: str) -> bool:
        return any(words in text for words in named)

    assert any(names_it(text) for text in texts(plain))
    assert any(author in text for text in texts(plain) for author in names.authors)
    found = told(opened, config, sensitive=[f"Category:{category.upper()}", "author"])
    assert not [text for text in texts(found) if names_it(text)]
    assert not [text for text in texts(found) if any(author in text for author in names.authors)]
    assert any(other in text for text in texts(found) for other in names.categories)
    kept = [name for name in plain.column_names if not name.startswith("reason")]
    assert found.select(kept).equals(plain.select(kept))


def test_the_companys_words_and_a_models_reasons(opened: Opened, config: Config) -> None:
    """Templates of its own; with a model too every row has a reason, and whoever is told nothing else this one."""
    words = {kind: "" for kind in TEMPLATES if kind != "other"} | {"other": "Für Sie"}
    assert set(texts(told(opened, config, templates=words))) == {"Für Sie"}
    modelled = told(opened, config, model=True)
    assert modelled["reason"].null_count == 0
    assert set(modelled["strategy"].to_pylist()) >= {"model"}


def test_the_guide_says_the_words_that_are_used(tmp_path: Path) -> None:
    """Its example is a configuration, and its templates are ours, each explained."""
    text = (Path(__file__).parents[2] / "docs/guides/reasons.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "shortlist.toml").write_text(example, encoding="utf-8")
    said = configuration.load(tmp_path / "shortlist.toml").reasons
    assert said.templates == TEMPLATES
    assert said.unnamed("tag", "Debt")
    rows = text[text.index("| template |") :]
    assert [kind for kind in TEMPLATES if f"`{kind}`" not in rows] == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('[reasons.templates]\nauthr = "x"', "did you mean `author`"),
        ('[reasons.templates]\nauthor = "More of {autor}"', "it can name {author}"),
        ('[reasons.templates]\nnew = "{category}"', "it can name nothing"),
        ('[reasons.templates]\nother = " "', "says nothing"),
        ('[reasons]\nsensitive = ["categry:Health"]', "did you mean `category`"),
    ],
)
def test_what_cannot_be_said_is_refused(lines: str, said: str, tmp_path: Path) -> None:
    """With the nearest that can."""
    (tmp_path / "shortlist.toml").write_text(f"{lines}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        configuration.load(tmp_path / "shortlist.toml")
    assert said in str(refused.value)
