"""The published tables as an Open Data Contract Standard v3.1 document: what a consumer may rely on.

The form is that of the standard's JSON schema (bitol-io/open-data-contract-standard, v3.1.0, December 2025).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pyarrow as pa
import yaml

from expectations import schemas

FILE = "contract.yaml"
VERSION = "1.1.0"
"""Of the promise: minor when a column is added, major when one changes its meaning (columns are never renamed)."""

_PURPOSE = "The content most likely to engage each known person, best first, for one instant (`as_of`)."
_USAGE = (
    "Read the name in CURRENT once and read everything from snapshots/<name>: that is always one whole snapshot. "
    "A person without rows gets the list of their segment, anyone else the default list."
)
_LIMITS = "person_id is personal data: it is kept no longer than the snapshots are, and people who object are left out."
_MEANINGS = {
    "people": "One row a person and rank.",
    "segments": "One row a segment and rank: the list for people of a segment without a list of their own.",
    "default": "One row a rank: the list for anyone.",
}

_VALUES: Mapping[str, tuple[str, ...]] = {"strategy": schemas.STRATEGIES, "id_type": ("customer", "visitor")}


def document(goals: tuple[str, ...], cadence: str = "1d") -> dict[str, Any]:
    """The contract for tables with one probability a goal, renewed every `cadence` (`1d`, `6h` …), as plain values."""
    return {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": "shortlist-rankings",
        "name": "Shortlist rankings",
        "version": VERSION,
        "status": "active",
        "description": {"purpose": _PURPOSE, "usage": _USAGE, "limitations": _LIMITS},
        "servers": [{"server": "snapshot", "type": "local", "path": "./{model}/*.parquet", "format": "parquet"}],
        "schema": [_table(table) for table in schemas.published(goals).values()],
        "slaProperties": [
            {
                "property": "frequency",
                "value": int(cadence[:-1]),
                "unit": cadence[-1],
                "element": "people.as_of",
                "description": "A new snapshot is published this often; the old one serves until then.",
            }
        ],
    }


@cache
def encode(goals: tuple[str, ...], cadence: str = "1d") -> bytes:
    """The contract as YAML."""
    text: str = yaml.safe_dump(document(goals, cadence), sort_keys=False, allow_unicode=True, width=120)
    return text.encode()


def _table(table: schemas.Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "physicalName": table.name,
        "logicalType": "object",
        "physicalType": "parquet",
        "description": _MEANINGS[table.name],
        "properties": [_property(column, table.key) for column in table.columns],
        "quality": [_unique(table), *([] if table.name == "people" else [_not_empty(table)])],
    }


def _unique(table: schemas.Table) -> dict[str, Any]:
    return {
        "name": f"{table.name}_key_is_unique",
        "type": "library",
        "metric": "duplicateValues",
        "arguments": {"properties": list(table.key)},
        "mustBe": 0,
        "dimension": "uniqueness",
    }


def _not_empty(table: schemas.Table) -> dict[str, Any]:
    return {
        "name": f"{table.name}_has_rows",
        "type": "library",
        "metric": "rowCount",
        "mustBeGreaterThan": 0,
        "dimension": "completeness",
    }


def _property(column: schemas.Column, key: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": column.name,
        "logicalType": _logical(column.type),
        "physicalType": str(column.type),
        "required": column.required,
        "description": column.meaning,
    }
    if column.name in key:
        found |= {"primaryKey": True, "primaryKeyPosition": key.index(column.name) + 1}
    if column.name == "person_id":
        found["classification"] = "confidential"
    if column.minimum is not None:
        found["logicalTypeOptions"] = {"minimum": column.minimum}
    if values := _VALUES.get(column.name):
        found["quality"] = [_one_of(column.name, values)]
    return found


def _one_of(column: str, values: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": f"{column}_is_known",
        "type": "library",
        "metric": "invalidValues",
        "arguments": {"validValues": list(values)},
        "mustBe": 0,
        "dimension": "conformity",
    }


def _logical(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "timestamp"
    if pa.types.is_integer(kind):
        return "integer"
    return "number" if pa.types.is_floating(kind) else "string"
