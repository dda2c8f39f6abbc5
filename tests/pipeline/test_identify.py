"""Which ids are one person, since when we know it, and what joins nobody."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations import schemas
from pipeline import identify
from pipeline.errors import ShortlistError
from pipeline.identify import native_ids, people
from pipeline.lake import UNDATED, Lake
from pipeline.sections import Identity
from tests.examples import examples
from tests.pipeline.lakes import NIGHT, config_in, table

HOUR = timedelta(hours=1)
LIMITS = Identity(people_per_visitor=3, customers_per_address=2)
KINDS = {0: "customer", 1: "email", 2: "order", 3: "visitor"}

Link = tuple[int, int, int]


def links(*rows: Link) -> pa.Table:
    """Links of (id, other id, hours after the night); visitors are 300 on, orders 200, e-mails 100, customers below."""
    return table(
        "identities",
        [
            {
                "id": one,
                "id_type": KINDS[one // 100],
                "other_id": other,
                "other_type": KINDS[other // 100],
                "available_at": NIGHT + hours * HOUR,
            }
            for one, other, hours in rows
        ],
    )


def known(*rows: Link, limits: Identity = LIMITS) -> dict[int, int]:
    """Persons by id at the night, but for those who are their own."""
    found = people(links(*rows), NIGHT, limits).persons.to_pylist()
    assert [row["id"] for row in found] == sorted({row["id"] for row in found})
    return {row["id"]: row["person_id"] for row in found if row["id"] != row["person_id"]}


def test_a_browser_belongs_to_whom_it_was_seen_with_last() -> None:
    """Of a shared device the last owner before the night; of two at one instant the smaller."""
    assert known((300, 1, -3), (300, 2, -1), (301, 2, -2), (301, 1, -2)) == {300: 2, 301: 1}


def test_a_link_of_the_nights_own_instant_is_not_known() -> None:
    """Strictly before."""
    assert known((300, 1, 0), (301, 2, -1)) == {301: 2}


def test_an_address_makes_one_person_of_two_contacts() -> None:
    """The lead and the contact it became share an e-mail: the one known longest is the person, and has the browsers."""
    assert known((100, 2, -5), (100, 1, -3), (300, 1, -1)) == {100: 2, 1: 2, 300: 2}


def test_a_guest_order_joins_a_browser_to_an_address() -> None:
    """The browser saw the order, the shop knows its e-mail, the CRM the e-mail's customer: all one person."""
    guest = ((200, 100, -3), (300, 200, -3))
    assert known(*guest) == {200: 300, 100: 300}
    assert known(*guest, (100, 7, -1)) == {200: 7, 100: 7, 300: 7}


def test_an_order_of_nobody_says_nothing_about_a_browser() -> None:
    """A guest order that the shop knows no address of does not take a browser from its customer."""
    assert known((300, 1, -3), (300, 200, -1)) == {300: 1}
    assert known(*((301, 200 + number, -1) for number in range(9))) == {}


def test_a_browser_never_joins_two_people() -> None:
    """Two who share a tablet stay two, whatever they do with it."""
    assert known((300, 1, -2), (300, 2, -1), (100, 1, -1), (101, 2, -1)) == {300: 2, 100: 1, 101: 2}


def test_a_kiosk_is_nobodys() -> None:
    """A cookie of 500 logins says nothing about anybody, and is told apart."""
    logins = [(300, number % 50, -1 - number) for number in range(500)]
    found = people(links(*logins, (301, 1, -1)), NIGHT, LIMITS)
    assert found.shared.to_pylist() == [300]
    assert found.resolve(pa.array([300, 301])).to_pylist() == [300, 1]


def test_an_address_of_everybody_joins_nobody() -> None:
    """info@ is on every contact of a company; a person with two of their own addresses is still one."""
    company = [(100, number, -1) for number in range(3)]
    found = people(links(*company, (101, 1, -1), (200, 100, -1)), NIGHT, LIMITS)
    assert found.generic.to_pylist() == [100]
    assert found.resolve(pa.array([0, 1, 2, 101, 200])).to_pylist() == [0, 1, 2, 1, 200]


def test_a_chain_of_too_many_customers_is_taken_apart() -> None:
    """Links that each look harmless may not make one person of a whole office: everybody keeps what they had first."""
    chain = [(100, 0, -9), (100, 1, -8), (101, 1, -7), (101, 2, -6), (200, 101, -5), (300, 100, -4)]
    assert known(*chain) == {100: 0, 101: 1, 200: 1, 300: 0}


KIND = st.sampled_from(range(4))
NODES = {kind: st.integers(100 * kind, 100 * kind + 3) for kind in range(4)}


@st.composite
def link_logs(draw: st.DrawFn) -> list[Link]:
    """A few links between a few ids of all kinds."""
    rows = []
    for _ in range(draw(st.integers(0, 12))):
        one = draw(st.integers(1, 3))
        other = draw(st.integers(0, one - 1))
        rows.append((draw(NODES[one]), draw(NODES[other]), draw(st.integers(-4, 1))))
    return rows


def by_hand(rows: list[Link]) -> dict[int, int]:
    """Persons as the docstring of `people` says it, with sets that are joined until nothing changes."""
    rows = [row for row in rows if row[2] < 0]
    nodes = {node for one, other, _ in rows for node in (one, other)}
    customers = {node: {o for one, o, _ in rows if one == node and o < 100} for node in nodes if node < 300}
    generic = {node for node, found in customers.items() if len(found) > LIMITS.customers_per_address}
    strong = [row for row in rows if row[0] < 300 and not {row[0], row[1]} & generic]
    groups = {node: {node} for node in nodes if node < 300}
    for one, other, _ in strong:
        joined = groups[one] | groups[other]
        groups.update(dict.fromkeys(joined, joined))
    clean = [row for row in rows if not {row[0], row[1]} & generic]
    first = {node: min((h for o, t, h in clean if node in {o, t}), default=0) for node in nodes}
    person = {node: min(group, key=lambda n: (n // 100, first[n], n)) for node, group in groups.items()}
    for group in {frozenset(group) for group in groups.values()}:
        if sum(node < 100 for node in group) > LIMITS.customers_per_address:
            person.update(apart(group, strong))
    visits = [row for row in clean if row[0] >= 300 and not 200 <= person[row[1]] < 300]
    for visitor in {row[0] for row in visits}:
        mine = [(hours, person[other]) for one, other, hours in visits if one == visitor]
        if len({who for _, who in mine}) <= LIMITS.people_per_visitor:
            person[visitor] = min(mine, key=lambda seen: (-seen[0], seen[1]))[1]
    return named(person, visits)


def apart(group: frozenset[int], strong: list[Link]) -> dict[int, int]:
    """Each customer alone, e-mails and orders with the customer, else the e-mail's customer, that they had first."""
    found = {node: node for node in group}
    for other_kind in (0, 1):
        for node in sorted(group, reverse=True):
            direct = [(h, o) for one, o, h in strong if one == node and o // 100 == other_kind]
            if direct and found[node] == node:
                found[node] = found[min(direct)[1]]
    return found


def named(person: dict[int, int], visits: list[Link]) -> dict[int, int]:
    """Persons without a customer are called after the visitor that was linked first."""
    first = {row[0]: min(h for one, _, h in visits if one == row[0]) for row in visits}
    nameless = {who for node, who in person.items() if 100 <= who < 300}
    for who in nameless:
        mine = [node for node, owner in person.items() if owner == who and node >= 300]
        if mine:
            name = min(mine, key=lambda visitor: (first[visitor], visitor))
            person = {node: name if owner == who else owner for node, owner in person.items()}
    return {node: who for node, who in person.items() if node != who}


@settings(max_examples=examples(100))
@given(link_logs())
def test_people_are_who_plain_sets_say(rows: list[Link]) -> None:
    """Against sets joined by hand; in any order of rows."""
    assert known(*rows) == by_hand(rows)
    assert known(*rows[::-1]) == by_hand(rows)


def test_ids_seen_in_one_row_are_linked_to_its_best() -> None:
    """A pair once, known since the earliest row that could be known; a lone id makes no link."""
    columns = {
        "customer_id": [1, 1, None, None, 1],
        "email_id": [100, None, 100, None, None],
        "order_id": [None, None, 200, None, None],
        "visitor_id": [300, 300, 300, 301, None],
        "available_at": pa.array([NIGHT + HOUR, NIGHT, NIGHT, NIGHT, NIGHT], schemas.TIMESTAMP),
    }
    found = identify.links(pa.table(columns)).sort_by([("id", "ascending"), ("other_id", "ascending")]).to_pylist()
    assert [(row["id"], row["id_type"], row["other_id"], row["other_type"]) for row in found] == [
        (100, "email", 1, "customer"),
        (200, "order", 100, "email"),
        (300, "visitor", 1, "customer"),
        (300, "visitor", 100, "email"),
    ]
    assert [row["available_at"] for row in found] == [NIGHT + HOUR, NIGHT, NIGHT, NIGHT]


def test_ids_are_resolved_in_place() -> None:
    """Row by row; everybody of whom nothing is known stays who they are."""
    found = people(links((300, 1, -1)), NIGHT, LIMITS)
    assert found.resolve(pa.array([300, 5, 300, 1])).to_pylist() == [1, 5, 1, 1]
    assert found.resolve(pa.array([], pa.int64())).to_pylist() == []
    assert people(links(), NIGHT, LIMITS).resolve(pa.array([3, 4])).to_pylist() == [3, 4]


def test_all_ids_of_a_person_are_found() -> None:
    """Those that are linked and the person's own, of the asked people alone."""
    found = people(links((300, 1, -1), (100, 1, -1), (301, 2, -1)), NIGHT, LIMITS)
    assert found.ids_of(pa.array([1, 9])).to_pylist() == [1, 9, 100, 300]


@pytest.fixture
def vault(tmp_path: Path) -> Lake:
    """A lake whose vault knows a customer (twice, from two sources) and two visitors."""
    lake = Lake.of(config_in(tmp_path))
    rows = [(1, "customer", "anna"), (2, "visitor", "cookie"), (3, "visitor", "other")]
    for source in ("web", "crm"):
        mine = rows if source == "web" else rows[:1]
        columns = {"id": [r[0] for r in mine], "id_type": [r[1] for r in mine], "native_id": [r[2] for r in mine]}
        books = {"source": [source] * len(mine), "day": [UNDATED] * len(mine)}
        lake.replace_source("native_ids", pa.table({**columns, **books}, schema=_VAULT), source)
    return lake


_VAULT = schemas.LAKE["native_ids"].schema


def test_native_ids_come_back_in_the_order_of_the_people(vault: Lake) -> None:
    """Each of them once, and only of those who were asked for; who is known by e-mail alone has none."""
    found = native_ids(vault, pa.array([3, 77, 1])).to_pylist()
    assert [(row["id"], row["id_type"], row["native_id"]) for row in found] == [
        (3, "visitor", "other"),
        (1, "customer", "anna"),
    ]


def test_nobody_asked_is_nobody_found(vault: Lake) -> None:
    """No people to rank is not the vault's fault."""
    assert native_ids(vault, pa.array([], pa.int64())).num_rows == 0


def test_a_vault_that_knows_nobody_is_an_error(vault: Lake) -> None:
    """Another key, or a vault that was removed: say so instead of publishing nothing."""
    with pytest.raises(ShortlistError, match="knows none of 2 people"):
        native_ids(vault, pa.array([88, 99]))
