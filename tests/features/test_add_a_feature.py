"""The guide on adding a feature, word for word: a line in `features/spec.py` is all that it takes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from features import definitions, measures, spec, sql
from features.kernel import kernel
from tests.features.shards import CATEGORY_OF, GOALS, assert_same, many_rows, night, oracle, shard_of
from tests.worlds import HOUSE

GUIDE = (HOUSE / "docs" / "guides" / "add-a-feature.md").read_text(encoding="utf-8")
ADDED = ("shared_14d", "purchase_strength_7d")


def block(language: str) -> str:
    """The guide's one fenced block of a language, without what it is indented by."""
    ((indent, found),) = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", GUIDE, re.MULTILINE | re.DOTALL)
    return "\n".join(line.removeprefix(indent) for line in found.splitlines())


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
    file = tmp_path_factory.mktemp("house") / "spec.py"
    file.write_text(patched(Path(spec.__file__).read_text(encoding="utf-8"), block("diff")), encoding="utf-8")
    module = ModuleType("spec_by_the_guide")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # where dataclasses look for the names in their annotations
    exec(compile(file.read_text(encoding="utf-8"), file, "exec"), vars(module))
    yield module
    del sys.modules[module.__name__]


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
    for line in block("sql").splitlines():
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


def test_the_guides_lines_pass_our_own_checks(changed: Any) -> None:
    """What a guide shows is written as we write."""
    config = ["--config", str(HOUSE / "pyproject.toml"), changed.__file__]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command, *config], capture_output=True, check=False)
        assert done.returncode == 0, done.stdout
