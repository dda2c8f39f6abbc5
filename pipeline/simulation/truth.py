"""What is really true in the world, for tests and benchmarks alone: no step of the pipeline may read it.

`people.parquet`: `person` (row of the world), `customer_id` (null: not in the CRM), `visitor_ids`, `opted_out`.
`engagement.parquet`: `person`, `content_id`, and the probabilities `p_click`, `p_read` (a click and 30 s or more),
`p_purchase` (a click and a purchase) if that content were shown to that person at position 1 on the day after the
last exported one; all content rankable at its midnight; sorted by person, content.
`shift.parquet`, where tastes shift: `category`, and by which it is replaced in everybody's interest (`successor`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.simulation.catalogue import CATEGORIES
from pipeline.simulation.draws import Floats, Ints
from pipeline.simulation.population import NEVER_DAY
from pipeline.simulation.world import State, World, chances, successors

PEOPLE, ENGAGEMENT, SHIFT = "people.parquet", "engagement.parquet", "shift.parquet"
PROBABILITIES = ("p_click", "p_read", "p_purchase")
ENGAGEMENT_SCHEMA = pa.schema(
    [("person", pa.int32()), ("content_id", pa.string()), *((p, pa.float32()) for p in PROBABILITIES)]
)
_PEOPLE_PER_BLOCK = 512


def people_table(world: World) -> pa.Table:
    """Who is who, by person."""
    people = world.people
    size = len(people)
    listed = people.contact_from < NEVER_DAY
    return pa.table(
        {
            "person": pa.array(np.arange(size), pa.int32()),
            "customer_id": pa.array(people.record_id, mask=~listed).cast(pa.string()),
            "visitor_ids": pa.array([people.cookies_of(p) for p in range(size)], pa.list_(pa.string())),
            "opted_out": pa.array(people.opted_out_from < NEVER_DAY),
        }
    )


def engagement_tables(world: World, state: State) -> Iterator[pa.Table]:
    """The engagement table in blocks of people; `state` is that of the day after the last exported one."""
    content = np.flatnonzero(world.catalogue.rankable(world.midnight(state.day)))
    ids = pa.array(world.catalogue.ids).take(pa.array(content))
    for start in range(0, len(world.people), _PEOPLE_PER_BLOCK):
        person = np.arange(start, min(start + _PEOPLE_PER_BLOCK, len(world.people)))
        yield _engagement(world, state, person, content, ids)


def shift_table(world: World) -> pa.Table:
    """What takes each category's place when tastes shift, by category."""
    after = [CATEGORIES[place] for place in successors(world.seed)]
    return pa.table({"category": CATEGORIES, "successor": after})


def expected_engagement(truth_dir: Path, lists: pa.Table, weights: Mapping[str, float]) -> float:
    """How much engagement lists would really bring: the mean over lists of sum of weight x p / log2(rank + 1).

    `lists` has `person_id`, `id_type` (customer, visitor), `rank` from 1 and `content_id`, as published; a list is a
    (person_id, id_type). `weights` are over `p_click`, `p_read`, `p_purchase` (as a ranking's goals have them);
    content that could not be ranked counts 0. The discount is DCG's (Jarvelin & Kekalainen 2002).
    Raises ConfigurationError for an unknown weight, ShortlistError for ids that the world does not know.
    """
    unknown = sorted(set(weights) - set(PROBABILITIES))
    if unknown:
        raise ConfigurationError(
            f"truth: no probability is called {unknown[0]}; weights may name {', '.join(PROBABILITIES)}"
        )
    with duckdb.connect() as db:
        db.register("lists", lists.select(["person_id", "id_type", "rank", "content_id"]))
        db.execute(_ALIASES, [str(truth_dir / PEOPLE)])
        _refuse_strangers(db)
        gain = " + ".join(f"{float(w)!r} * {p}::DOUBLE" for p, w in weights.items()) or "0"
        query = _GAIN.format(gain=gain)
        total, count = db.execute(query, [str(truth_dir / ENGAGEMENT)]).fetchall()[0]
    return float(total) / int(count)


_ALIASES = """
CREATE TEMP TABLE aliases AS
WITH people AS (SELECT * FROM read_parquet(?))
SELECT person, 'customer' AS id_type, customer_id AS person_id FROM people WHERE customer_id IS NOT NULL
UNION ALL
SELECT person, 'visitor', unnest(visitor_ids) FROM people
"""

_GAIN = """
SELECT fsum(({gain}) / log2(l.rank + 1)), (SELECT count(*) FROM (SELECT DISTINCT person_id, id_type FROM lists))
FROM lists l JOIN aliases USING (person_id, id_type) JOIN read_parquet(?) e USING (person, content_id)
"""

_STRANGERS = """
SELECT count(DISTINCT (person_id, id_type)), any_value(id_type) FROM lists ANTI JOIN aliases USING (person_id, id_type)
"""


def _refuse_strangers(db: duckdb.DuckDBPyConnection) -> None:
    count, id_type = db.execute(_STRANGERS).fetchall()[0]
    if count:
        raise ShortlistError(
            f"truth: {count} ids of the lists (one a {id_type}) are of nobody in this world; "
            "pass the lists published from this simulation, with its own ids"
        )


def _engagement(world: World, state: State, person: Ints, content: Ints, ids: pa.Array) -> pa.Table:
    odds = chances(world, state, person[:, None], content[None, :])
    grids: tuple[Floats, ...] = (odds.click, odds.click * odds.read, odds.click * odds.purchase)
    columns = [pa.array(grid.ravel().astype(np.float32)) for grid in grids]
    who = pa.array(np.repeat(person, len(content)), pa.int32())
    what = ids.take(pa.array(np.tile(np.arange(len(content)), len(person))))
    return pa.Table.from_arrays([who, what, *columns], schema=ENGAGEMENT_SCHEMA)
