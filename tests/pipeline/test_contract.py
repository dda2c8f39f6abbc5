"""The contract that lies beside every snapshot."""

from __future__ import annotations

from typing import Any

import yaml

from expectations import schemas
from pipeline import contract

GOALS = ("click", "read")


def parsed() -> dict[str, Any]:
    """The contract as a consumer reads it."""
    return dict(yaml.safe_load(contract.encode(GOALS, "6h")))


def properties(table: str) -> dict[str, dict[str, Any]]:
    """The promised columns of a table, by name."""
    (found,) = (one for one in parsed()["schema"] if one["name"] == table)
    return {one["name"]: one for one in found["properties"]}


def test_it_survives_yaml() -> None:
    """What is written is what was meant, and has the fields that the standard requires."""
    assert parsed() == contract.document(GOALS, "6h")
    assert (parsed()["apiVersion"], parsed()["kind"]) == ("v3.1.0", "DataContract")
    assert {"id", "version", "status"} <= parsed().keys()


def test_every_published_column_is_promised() -> None:
    """Tables and columns are those of the published schema, in order, with what may be missing."""
    for name, table in schemas.published(GOALS).items():
        assert [(p["name"], p["required"]) for p in properties(name).values()] == [
            (column.name, column.required) for column in table.columns
        ]
        assert all(p["description"] for p in properties(name).values())


def test_types_are_those_of_the_standard() -> None:
    """Arrow's types are told in the standard's words, with the physical type beside them."""
    found = {name: (one["logicalType"], one["physicalType"]) for name, one in properties("people").items()}
    assert found["person_id"] == ("string", "string")
    assert found["rank"] == ("integer", "int32")
    assert found["p_read"] == ("number", "double")
    assert found["as_of"] == ("timestamp", "timestamp[us, tz=UTC]")


def test_the_key_is_ordered() -> None:
    """The primary key is the one that the schema names, position by position."""
    keys = {name: one["primaryKeyPosition"] for name, one in properties("people").items() if one.get("primaryKey")}
    assert keys == {"person_id": 1, "id_type": 2, "rank": 3}


def test_the_cadence_is_the_promised_frequency() -> None:
    """A consumer can read how often a new snapshot comes."""
    (promise,) = parsed()["slaProperties"]
    assert (promise["property"], promise["value"], promise["unit"]) == ("frequency", 6, "h")
