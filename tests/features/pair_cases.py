"""The public functions of the pair kernel for `tests.features.test_purity`, and what they are called with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import pyarrow as pa

from features.pair_kernel import REQUESTS, pair_kernel
from features.pair_measures import Groups
from features.pair_response import RESPONSE, response_totals
from features.pair_spec import PairSpec
from features.rows import SHARD
from tests.features.calls import call
from tests.features.logs import AS_OF, CONTENTS, PEOPLE


def arguments(log: pa.Table, content: pa.Table) -> Mapping[str, Any]:
    """By the names of their parameters: the log as a shard, every person with every content at two instants."""
    placed = log.sort_by([("person_id", "ascending"), ("ts", "ascending")])
    nothing = pa.nulls(log.num_rows)
    shard = pa.table({name: placed[name] if name in log.column_names else nothing for name in SHARD.names}).cast(SHARD)
    nights = [AS_OF - timedelta(days=5, seconds=1), AS_OF]
    asked = [(person, night, content_id) for night in nights for content_id in CONTENTS for person in PEOPLE]
    requests = pa.table(list(zip(*asked, strict=True)), schema=REQUESTS)
    groups = Groups.of(content)
    spec = PairSpec(groups)
    return {
        "shard": shard,
        "requests": requests,
        "night": AS_OF,
        "nights": nights,
        "spec": spec,
        "content": content,
        "groups": groups,
        "channels": spec.channels,
        "measures": [f.measure for f in spec.features if f.measure != RESPONSE],
        "name": "engaged",
        "found": pair_kernel(shard, requests, spec),
        "totals": response_totals(shard, nights, spec),
    }


def _case(name: str, world: Any) -> Any:
    return call(name, arguments(world.log, world.content))


CASES: Mapping[str, Callable[[Any], Any]] = {
    name: partial(_case, name)
    for name in (
        "pair_kernel.pair_kernel",
        "pair_kernel.pair_table",
        "pair_measures.Groups.of",
        "pair_program.bits_of",
        "pair_program.program_of",
        "pair_program.vocabulary_of",
        "pair_response.response_totals",
        "pair_response.responses",
    )
}
"""By name, of a world that has a `log` and its `content`."""
