"""Orders: lines that are exported again with what was refunded by then, and count as their newest known export says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from expectations import schemas
from expectations.schemas import TIMESTAMP
from features.rows import FOREVER
from pipeline import query

REFUND = "refund"

LINE = ("source", "order_id", "line_no", "day")
"""What names one export's version of a line of an order."""

_NONE_REPLACED = pa.schema(
    [*(schemas.LAKE["transactions"].schema.field(name) for name in LINE), pa.field("until", TIMESTAMP)]
).empty_table()


@dataclass(frozen=True)
class Orders:
    """What must be known of all orders at once.

    `since`: when the first could be known, in microseconds (`FOREVER`: there is none); from then on, orders are the
    truth about purchases. `replaced`: `LINE` and `until`, when a later day's export of the same line could be known.
    """

    since: int
    replaced: pa.Table

    @classmethod
    def of(cls, transactions: pa.Table | Sequence[Path]) -> Orders:
        """From the lake's rows, or the files that hold them."""
        if not len(transactions):
            return cls(FOREVER, _NONE_REPLACED)
        with query.connection() as con:
            if isinstance(transactions, pa.Table):
                con.register("transactions", transactions)
                rows = "transactions"
            else:
                rows = query.parquet(transactions, ", hive_partitioning = true")
            since = con.sql(f"SELECT epoch_us(min(greatest(ts, available_at))) AS since FROM {rows}").to_arrow_table()
            replaced = con.sql(
                f"""
                WITH versions AS (
                    SELECT source, order_id, line_no, CAST(day AS DATE) AS day, min(greatest(ts, available_at)) AS known
                    FROM {rows} GROUP BY ALL
                )
                SELECT * EXCLUDE known, min(known) OVER (
                    PARTITION BY source, order_id, line_no ORDER BY day
                    ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
                ) AS until
                FROM versions QUALIFY until IS NOT NULL
                """
            ).to_arrow_table()
        return cls(int(since["since"][0].as_py()), replaced.cast(_NONE_REPLACED.schema))


def as_events(lines: pa.Table) -> pa.Table:
    """Lines that sold something, or gave it back, with `event` (`purchase`, `refund`) and `value`, which a refund has
    negative."""
    sold = lines.filter(pc.and_(pc.is_valid(lines["content_id"]), pc.not_equal(lines["amount"], 0)))
    event = pc.if_else(pc.greater(sold["amount"], 0), "purchase", REFUND)
    return sold.append_column("event", event).append_column("value", sold["amount"])


def newest(transactions: pa.Table) -> pa.Table:
    """Of lines that are all known, those that their newest export has."""
    key = [*LINE[:3]]
    last = transactions.group_by(key).aggregate([("day", "max")])
    if last.num_rows == transactions.num_rows:
        return transactions
    renamed = last.rename_columns([*key, "day"])
    return transactions.join(renamed, [*key, "day"], join_type="left semi")
