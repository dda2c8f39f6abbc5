"""The guide on adding a feature, word for word: a line in a list is all that it takes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from features import definitions, measures, pair_spec, spec, sql
from features.kernel import kernel
from features.pair_kernel import pair_kernel
from features.pair_spec import PairSpec
from tests.features import pair_oracle
from tests.features.shards import CATEGORY_OF, GOALS, assert_same, many_rows, night, oracle, shard_of
from tests.worlds import HOUSE

GUIDE = (HOUSE / "docs" / "guides" / "add-a-feature.md").read_text(encoding="utf-8")
ADDED = ("shared_14d", "purchase_strength_7d")


def blocks(language: str) -> list[str]:
    """The guide's fenced blocks of a language, without what they are indented by."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", GUIDE, re.MULTILINE | re.DOTALL)
    return ["\n".join(line.removeprefix(indent) for line in text.splitlines()) for indent, text in found]


def table(after: str) -> list[list[str]]:
    """The cells of the guide's table that begins with a header."""
    rows = GUIDE[GUIDE.index(after) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip().strip("|").split("|")] for row in rows]


def patched(text: str, diff: str) -> str:
    """`text` with the lines that `diff` adds, each after the line that it shows before."""
    for before, line in pairwise(diff.splitlines()):
        if line.startswith("+"):
            assert text.count(f"{before[1:]}\n") == 1
            text = text.replace(f"{before[1:]}\n", f"{before[1:]}\n{line[1:]}\n")
    return text


@pytest.fixture(name="changed", scope="module")
def changed_spec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """`features.spec` as it is when the guide was followed."""
    with followed(spec, blocks("diff")[0], tmp_path_factory.mktemp("house")) as module:
        yield module


@pytest.fixture(name="changed_pairs", scope="module")
def changed_pair_spec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """`features.pair_spec`, too."""
    with followed(pair_spec, blocks("diff")[1], tmp_path_factory.mktemp("house")) as module:
        yield module


@contextmanager
def followed(module: ModuleType, diff: str, folder: Path) -> Iterator[ModuleType]:
    """A module with the lines that the guide adds."""
    file = folder / Path(str(module.__file__)).name
    file.write_text(patched(Path(str(module.__file__)).read_text(encoding="utf-8"), diff), encoding="utf-8")
    changed = ModuleType(f"{module.__name__} by the guide")
    changed.__file__ = str(file)
    sys.modules[changed.__name__] = changed  # where dataclasses look for the names in their annotations
    exec(compile(file.read_text(encoding="utf-8"), file, "exec"), vars(changed))
    yield changed
    del sys.modules[changed.__name__]


def test_the_kernel_computes_what_the_guide_adds_and_the_oracle_agrees(changed: Any) -> None:
    """Two columns more, with something in them, on every night of many people."""
    following = changed.Spec(GOALS, CATEGORY_OF, ("a", "b"))
    assert [name for name in following.names if name not in spec.Spec(GOALS, CATEGORY_OF, ("a", "b")).names] == [*ADDED]
    shard, nights = shard_of(many_rows(100)), [night(-30), night(0), night(1)]
    found = kernel(shard, nights, following)
    assert_same(found, oracle(shard, nights, following), following)
    assert all(max(found[name].to_pylist()) > 1 for name in ADDED)


def test_models_read_what_the_guide_adds(changed: Any) -> None:
    """Where the guide says: after the line before it."""
    names = list(changed.names(GOALS))
    at = names.index("purchase_recency_days")
    assert names[at + 1 : at + 3] == [*ADDED]
    assert [name for name in names if name not in ADDED] == [*spec.names(GOALS)]


def test_the_guides_sql_is_the_oracles(changed: Any) -> None:
    """Every line of it is in the query."""
    query = sql.query(changed.Spec(GOALS), [night()])
    for line in blocks("sql")[0].splitlines():
        assert line in query


def test_the_guide_describes_its_features_as_the_report_does(changed: Any) -> None:
    """How they are measured, and how far they look back."""
    by_name = {feature.name: feature for feature in changed.features(GOALS)}
    expected = [
        [f"`{name}`", definitions.measured_in_words(by_name[name]), definitions.memory_in_words(by_name[name])]
        for name in ADDED
    ]
    assert table("| feature | measured") == expected


def test_the_guides_measures_exist() -> None:
    """With the arguments that it lists, in their order."""
    for cell, _ in table("| measure | says"):
        name, arguments = re.fullmatch(r"`(\w+)\((.*)\)`", cell).groups()  # type: ignore[union-attr]
        assert list(getattr(measures, name).__dataclass_fields__) == arguments.split(", ")


def test_the_pair_kernel_computes_what_the_guide_adds(changed_pairs: Any) -> None:
    """As counted by hand, for models to read."""
    added = [f for f in changed_pairs.MODELLED if f.name not in {one.name for one in pair_spec.MODELLED}]
    assert [f.name for f in added] == ["viewed_7d", "affinity_author_1d"]
    rows = many_rows(people=10)
    asked = pair_oracle.many_requests(rows, 400)
    following = PairSpec(pair_oracle.GROUPS, features=tuple(added))
    found = pair_kernel(shard_of(rows), pair_oracle.requests_of(asked), following).select(following.names).to_pylist()
    for got, request in zip(found, asked, strict=True):
        assert got == pytest.approx(pair_oracle.answer(rows, request, following), nan_ok=True)
    assert all(max(one[name] for one in found if one[name] == one[name]) > 0 for name in following.names)


def test_the_guides_lines_pass_our_own_checks(changed: Any, changed_pairs: Any) -> None:
    """What a guide shows is written as we write."""
    config = ["--config", str(HOUSE / "pyproject.toml"), changed.__file__, changed_pairs.__file__]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command, *config], capture_output=True, check=False)
        assert done.returncode == 0, done.stdout
