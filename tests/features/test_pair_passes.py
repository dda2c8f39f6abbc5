"""The pair kernel gives the same bytes whatever else is asked, in whichever order, and however the log is cut."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.history import DAY
from features.pair_kernel import REQUESTS, pair_kernel, pair_table
from features.pair_measures import Groups
from features.pair_response import response_totals
from features.pair_spec import PairSpec
from features.rows import SHARD
from tests.features.images import image
from tests.features.logs import CONTENTS, MINUTE
from tests.features.pair_oracle import GROUPS, SPEC, Request, many_requests, requests, requests_of
from tests.features.shards import AS_OF, Event, logs, many_rows, night, shard_of

ROWS = many_rows(people=60)
ASKED = many_requests(ROWS, 600)


def bytes_of(rows: list[Event], asked: list[Request], order: int = 0) -> list[bytes]:
    """The answers' bytes, one by one."""
    found = pair_kernel(shard_of(rows, order), requests_of(asked), SPEC)
    values = np.column_stack([found[name].to_numpy() for name in SPEC.names])
    return [row.tobytes() for row in values]


@given(st.data())
def test_a_request_alone_is_answered_as_among_many(data: st.DataObject) -> None:
    """Bit for bit, whatever was asked about the person, or about anybody, before."""
    rows = data.draw(logs())
    asked = data.draw(requests(rows))
    assert bytes_of(rows, asked) == [bytes_of(rows, [request])[0] for request in asked]


def test_one_of_many_requests_is_answered_as_alone() -> None:
    """Also where a person is folded anew time and again, and has more rows and requests than fit a block."""
    every = bytes_of(ROWS, ASKED)
    assert [every[at] for at in range(0, 600, 7)] == [bytes_of(ROWS, [request])[0] for request in ASKED[::7]]


@given(st.data(), st.integers(1, 5))
def test_order_means_nothing(data: st.DataObject, order: int) -> None:
    """Neither that of the requests nor that of rows which tie in time."""
    rows = data.draw(logs())
    asked = data.draw(requests(rows))
    shuffled = np.random.default_rng(order).permutation(len(asked))
    expected = bytes_of(rows, asked)
    assert bytes_of(rows, [asked[at] for at in shuffled], order) == [expected[at] for at in shuffled]


def test_rows_of_one_instant_have_no_order() -> None:
    """Contents of one and of two tags at the same time: their sums are made in the order of their names."""
    rows = [Event(age=DAY, content=content, event="like", dwell=31.0) for content in CONTENTS * 3]
    rows += [Event(age=DAY + MINUTE * i, content="c1") for i in range(9)]
    asked = [Request(content=content) for content in CONTENTS]
    assert len({tuple(bytes_of(rows, asked, order)) for order in range(8)}) == 1


@pytest.mark.parametrize("shards", [2, 5])
def test_people_can_be_cut_into_shards(shards: int) -> None:
    """Each shard answers about its own people what all would; the tables are the sums of their parts."""
    whole = bytes_of(ROWS, ASKED)
    tables = []
    for one in range(shards):
        rows = [row for row in ROWS if row.person % shards == one]
        mine = [at for at, request in enumerate(ASKED) if request.person % shards == one]
        assert bytes_of(rows, [ASKED[at] for at in mine]) == [whole[at] for at in mine]
        tables.append(shard_of(rows))
    parts = pa.concat_tables(pair_table(shard, AS_OF, SPEC) for shard in tables)
    joined = parts.sort_by([(name, "ascending") for name in ("person_id", "kind", "name")])
    assert image(joined) == image(pair_table(shard_of(ROWS), AS_OF, SPEC))
    nights = [night(-30), AS_OF]
    totals = [response_totals(shard, nights, SPEC) for shard in tables]
    for name in ("engaged", "shown"):
        added = sum(np.asarray(part[name].combine_chunks()) for part in totals)
        assert added.tolist() == response_totals(shard_of(ROWS), nights, SPEC)[name].to_pylist()


def test_text_may_be_dictionary_encoded_and_in_chunks() -> None:
    """As Parquet gives it."""
    shard, asked = shard_of(ROWS), requests_of(ASKED)
    encoded = pa.table({name: _encoded(shard[name]) for name in SHARD.names})
    chunked = pa.concat_tables([encoded.slice(0, 100), encoded.slice(100)])
    expected = pair_kernel(shard, asked, SPEC)
    coded = pa.table({name: _encoded(asked[name]) for name in REQUESTS.names})
    found = pair_kernel(chunked, pa.concat_tables([coded.slice(0, 7), coded.slice(7)]), SPEC)
    assert image(found.select(SPEC.names)) == image(expected.select(SPEC.names))
    assert image(pair_table(chunked, AS_OF, SPEC)) == image(pair_table(shard, AS_OF, SPEC))


def test_other_contents_change_nothing() -> None:
    """A catalogue that knows more gives the same answers about what the log has to do with."""
    more = {kind: {**of, "zz": ("another",), "a": ("x", "q")} for kind, of in GROUPS.names.items()}
    wider = PairSpec(Groups(more), features=SPEC.features)
    shard, asked = shard_of(ROWS), requests_of(ASKED)
    assert image(pair_kernel(shard, asked, wider)) == image(pair_kernel(shard, asked, SPEC))


def test_an_empty_shard_and_no_requests() -> None:
    """Columns and types are there all the same."""
    empty, asked = shard_of([]), requests_of([])
    assert pair_kernel(empty, requests_of([Request()]), SPEC).num_rows == 1
    assert pair_kernel(shard_of(ROWS), asked, SPEC).schema == pair_kernel(empty, asked, SPEC).schema
    assert pair_table(empty, AS_OF, SPEC).schema == pair_table(shard_of(ROWS), AS_OF, SPEC).schema


def _encoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.dictionary_encode() if pa.types.is_string(column.type) else column
