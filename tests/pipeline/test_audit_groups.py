"""Groups of people on a training's page: the same kinds on the test's rows and on the heads of lists."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features import crm, spec
from features.crm import Vocabulary
from features.measures import Attribute
from pipeline.audit_groups import Groups
from pipeline.rows import Rows

GOALS = ("click",)
CODED = Vocabulary(tuple(Attribute(f"crm_a{number}", f"a{number}", ("yes", "no")) for number in range(8)))
NAMES = spec.names(GOALS, crm=CODED.attributes)
LISTS = 40


def rows() -> Rows:
    """Lists of one to eight rows; five people with short ones lack an early attribute, four with long ones a late one.

    So most rows have the first ones, and most heads of lists the last ones.
    """
    size = np.arange(LISTS) // 5 + 1
    code = np.tile(np.arange(LISTS) % 2, (len(CODED.attributes), 1)).T.astype(np.float32)
    for number in range(len(CODED.attributes)):
        code[4 * number : 4 * number + (5 if number < 4 else 4), number] = np.nan
    x = np.zeros((LISTS, len(NAMES)), np.float32)
    x[:, [NAMES.index(one.column) for one in CODED.attributes]] = code
    whose = np.repeat(np.arange(LISTS), size)
    return Rows(
        said=x[whose],
        raw=np.zeros((len(whose), 3)),
        labels={"click": (np.arange(len(whose)) % 3 == 0).astype(np.float32)},
        person=whose,
        content=np.zeros(len(whose), np.int32),
        ids=pa.array(["c0"]),
        group=whose,
        nights=((0, datetime(2026, 3, 10, tzinfo=UTC)),),
        popularity=np.zeros(len(whose)),
        crm=crm.FACTS.empty_table(),
        drawn=np.ones(len(whose), bool),
        negatives=1.0,
    )


def covered(x: NDArray[np.float32]) -> list[str]:
    """The six attributes that most of these rows have."""
    having = {one.name: np.isfinite(x[:, NAMES.index(one.column)]).mean() for one in CODED.attributes}
    return sorted(sorted(having, key=lambda name: (-having[name], name))[:6])


def test_the_groups_of_lists_are_those_of_the_test() -> None:
    """Long lists weigh by their rows in the one and once in the other: they are grouped by the same attributes."""
    both = rows()
    heads = both.x[np.unique(both.group, return_index=True)[1]]
    assert covered(both.x) != covered(heads), "a world in which the two would choose others"
    found = Groups.of(both, both, GOALS, CODED, None)
    kinds = {one.kind for one in found.test}
    assert {kind.removeprefix("CRM: ") for kind in kinds if kind.startswith("CRM")} == set(covered(both.x))
    assert set(found.exposure) == kinds
    assert all(found.exposure[one.kind][one.name] > 0 for one in found.test)
