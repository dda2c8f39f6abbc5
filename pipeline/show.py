"""One person's published list, as downstream systems read it."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc
import pyarrow.dataset as ds
from rich.console import Console
from rich.table import Table

from pipeline import snapshot
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.reports.page import DASH


def run(person: str, config: Config) -> list[dict[str, Any]]:
    """The rows of the person in the snapshot that serves, by rank.

    Raises:
        ShortlistError: Nothing is published, or the person has no list.
    """
    current = snapshot.resolve(Lake.of(config).rankings)
    rows = ds.dataset(current / "people").to_table(filter=pc.field("person_id") == person)
    if not rows.num_rows:
        raise ShortlistError(
            f"{current.name} has no list for {person!r}. "
            "The id is the company's own (a CRM id, else a visitor id); people who opted out have none, "
            "and people nobody has seen get the list of their segment or the default one."
        )
    found: list[dict[str, Any]] = rows.sort_by([("id_type", "ascending"), ("rank", "ascending")]).to_pylist()
    return found


def draw(rows: list[dict[str, Any]], out: Console) -> None:
    """The list as a table."""
    first = rows[0]
    out.print(
        f"{first['id_type']} {first['person_id']}, segment {first['segment']}, "
        f"as of {first['as_of']:%Y-%m-%d %H:%M %Z}",
        markup=False,
    )
    goals = [name for name in first if name.startswith("p_")]
    table = Table("rank", "content", "score", *goals, "from", "why")
    for row in rows:
        probabilities = [DASH if row[goal] is None else f"{row[goal]:.3f}" for goal in goals]
        table.add_row(
            str(row["rank"]),
            row["content_id"],
            f"{row['score']:.4f}",
            *probabilities,
            row["candidate_source"],
            row["reason"],
        )
    out.print(table)
