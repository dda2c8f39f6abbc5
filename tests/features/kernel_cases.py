"""The public functions of the person kernel for `tests.features.test_purity`, and what they are called with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from features.kernel import kernel
from features.people import person_features
from features.program import compiled
from features.rows import SHARD, Codes, encoded
from features.state import Layout
from tests.features.calls import call
from tests.features.logs import AS_OF, CATEGORY, GOALS
from tests.features.shards import spec_of

NIGHTS = [AS_OF - timedelta(days=5, seconds=1), AS_OF]
SPEC = spec_of()


def shard_of(log: pa.Table) -> pa.Table:
    """The log as a shard: what happened to some content arrived a day late, or was somebody else's two days later."""
    placed = log.sort_by([("person_id", "ascending"), ("ts", "ascending")])
    ts, content = placed["ts"], placed["content_id"]
    nothing = pa.scalar(None, ts.type)
    more = {
        "known_at": pc.if_else(pc.equal(content, "c1"), pc.add(ts, pa.scalar(timedelta(days=1))), nothing),
        "known_until": pc.if_else(pc.equal(content, "c5"), pc.add(ts, pa.scalar(timedelta(days=2))), nothing),
        "channel": pc.if_else(pc.equal(content, "c0"), "web", "email"),
    }
    return pa.table({name: more[name] if name in more else placed[name] for name in SHARD.names})


def people_of(log: pa.Table) -> pa.Table:
    """The log's people on AS_OF."""
    measured = kernel(shard_of(log), [AS_OF], SPEC)
    return person_features(measured, measured["person_id"].to_numpy(), SPEC)


def arguments(log: pa.Table) -> Mapping[str, Any]:
    """By the names of their parameters."""
    shard = shard_of(log)
    measured = kernel(shard, [AS_OF], SPEC)
    codes = Codes(GOALS, {content: name for content, name in CATEGORY.items() if name}, SPEC.categories, SPEC.channels)
    program = compiled(SPEC.measures, codes.classes, SPEC.categories, SPEC.channels)
    return {
        "shard": shard,
        "nights": NIGHTS,
        "spec": SPEC,
        "codes": codes,
        "instant": AS_OF,
        "measures": SPEC.measures,
        "classes": codes.classes,
        "categories": SPEC.categories,
        "channels": SPEC.channels,
        "program": program,
        "layout": Layout.of(program),
        "rows": encoded(shard, codes),
        "measured": measured,
        "people": measured["person_id"].to_numpy(),
    }


def _case(name: str, world: Any) -> Any:
    found = call(name, arguments(world.log))
    return [room.shape for room in _rooms(found)] if name == "passes.Scratch.of" else found  # empty as yet


def _rooms(scratch: tuple[Any, ...]) -> Iterator[Any]:
    for room in scratch:
        yield from _rooms(room) if isinstance(room, tuple) else [room]


CASES: Mapping[str, Callable[[Any], Any]] = {
    name: partial(_case, name)
    for name in (
        "state.Layout.of",
        "passes.Scratch.of",
        "kernel.advanced",
        "kernel.kernel",
        "kernel.resumed",
        "people.person_features",
        "program.compiled",
        "rows.encoded",
        "rows.micros",
        "sql.query",
    )
}
"""By name, of a world that has a `log`."""
