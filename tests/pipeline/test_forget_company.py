"""Forgetting in a whole company: no byte that says who they were is left, and nobody else loses a row."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline import config as configuration
from pipeline import show, snapshot, suppress
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from tests.pipeline.exported import ALSO
from tests.pipeline.known import KEY, everything, traces
from tests.pipeline.small import in_order, shortlist
from tests.worlds import World


@pytest.fixture(name="world")
def _world(small_night: World, copy_of: Callable[[World], World]) -> World:
    return copy_of(small_night)


def test_no_byte_of_them_is_left_and_nobody_else_loses_one(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A customer with browsers, e-mail and orders, and a visitor: gone from every file; all else is as it was."""
    config = configuration.load(world.config)
    lake = Lake.of(config)
    people = snapshot.read(lake.rankings, "people")
    customer = buyer(lake, people)
    visitor = people.filter(pc.equal(people["id_type"], "visitor"))["person_id"][0].as_py()
    email = email_of(world, customer)
    both = traces(lake, config, (customer, "customer"), (visitor, "visitor"), emails=[email])
    assert len(both.native) >= 4
    assert both.left_in(world.folder)
    assert [form for form in ALSO if not both.left_in(world.folder / "published" / "exports" / form)] == []
    before, old = everything(lake, both), snapshot.resolve(lake.rankings).name

    said = shortlist(capsys, "forget", email, visitor, "--yes", "--config", world.config, "--json")

    assert said.code == 0, said.err
    assert both.left_in(world.folder) == []
    assert everything(lake, both) == before
    assert set(suppress.forgotten(lake).to_pylist()) == set(both.pseudonyms)
    now = snapshot.resolve(lake.rankings)
    assert snapshot.verify(now) == []
    assert snapshot.snapshots(lake.rankings) == (now.name,)
    assert said.json["removed"]["snapshots"] == [old]
    assert said.json["removed"]["exports"] == list(ALSO)
    assert said.json["removed"]["rows"].keys() >= {"events", "transactions", "customers", "identities", "native_ids"}
    assert (said.json["people"], said.json["unknown"], said.json["models"]) == (2, 0, ["1"])
    assert json.loads(Path(said.json["receipt"]).read_text(encoding="utf-8")) == said.json
    with pytest.raises(ShortlistError, match="has no list for"):
        show.run(customer, config)

    again = shortlist(capsys, "forget", customer, "--yes", "--config", world.config, "--json").json
    nothing = {"rows": {}, "snapshots": [], "exports": [], "ranked": [], "files": {}, "stores": []}
    assert (again["already"], again["removed"]) == (1, nothing)
    assert everything(lake, both) == before
    assert snapshot.resolve(lake.rankings) == now


def buyer(lake: Lake, people: pa.Table) -> str:
    """A listed customer whose orders name no customer but the e-mail, and whose browser is known."""
    links = in_order(lake.read("identities"))
    bought = set(lake.read("transactions")["person_id"].to_pylist())
    browsing = {link["other_id"] for link in links if link["id_type"] == "visitor"}
    customers = {link["other_id"] for link in links if link["id_type"] == "email" and link["id"] in bought}
    listed = people.filter(pc.equal(people["id_type"], "customer"))["person_id"].unique().to_pylist()
    return str(next(one for one in listed if KEY.one(one, "customer") in customers & browsing))


def email_of(world: World, customer: str) -> str:
    """By the CRM's last export."""
    lines = max((world.exports / "hubspot").glob("*.csv")).read_text(encoding="utf-8").splitlines()
    return next(line.split(",")[3] for line in lines if line.startswith(customer))
