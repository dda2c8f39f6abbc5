"""Which visitor and which e-mail belong to which customer, and since when we know it."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from expectations import schemas
from pipeline.errors import ShortlistError
from pipeline.lake import Lake

_LINK = ("alias_id", "alias_type", "customer_id", "available_at")


def links_of_events(events: pa.Table) -> pa.Table:
    """Links seen in the lake's `events`: a row that carries a visitor and a customer joins them from then on."""
    both = events.filter(pc.and_(pc.is_valid(events["visitor_id"]), pc.is_valid(events["customer_id"])))
    return _earliest(both["visitor_id"], "visitor", both["customer_id"], both["available_at"])


def links_of_customers(customer_ids: pa.Array, email_ids: pa.Array, available_at: datetime) -> pa.Table:
    """Links of a CRM snapshot: each contact's e-mail, known from the snapshot on."""
    known = pc.is_valid(email_ids)
    customers, emails = customer_ids.filter(known), email_ids.filter(known)
    when = pa.array([available_at] * len(emails), schemas.TIMESTAMP)
    return _earliest(emails, "email", customers, when)


def _earliest(alias: pa.Array, kind: str, customer: pa.Array, available_at: pa.Array) -> pa.Table:
    links = pa.table({"alias_id": alias, "customer_id": customer, "available_at": available_at})
    first = links.group_by(["alias_id", "customer_id"]).aggregate([("available_at", "min")])
    kinds = pa.array([kind] * first.num_rows, pa.string())
    return pa.table([first["alias_id"], kinds, first["customer_id"], first["available_at_min"]], names=list(_LINK))


def customer_by_alias(links: pa.Table, as_of: datetime) -> pa.Table:
    """`alias_id`, `customer_id` as known strictly before `as_of`, one row an alias.

    An alias that was seen with several customers (a shared device) belongs to the one it was seen with last;
    of two at the same instant, to the smaller pseudonym: an answer that does not depend on the order of rows.
    """
    known = links.filter(pc.less(links["available_at"], pa.scalar(as_of, schemas.TIMESTAMP)))
    ordered = known.select(["alias_id", "available_at", "customer_id"]).sort_by(
        [("alias_id", "ascending"), ("available_at", "descending"), ("customer_id", "ascending")]
    )
    latest = ordered.group_by("alias_id", use_threads=False).aggregate([("customer_id", "first")])
    return latest.select(["alias_id", "customer_id_first"]).rename_columns(["alias_id", "customer_id"])


def resolve(person_ids: pa.Array, aliases: pa.Table) -> pa.Array:
    """Each person id replaced by the customer it is an alias of, where it is one."""
    position = pc.index_in(person_ids, value_set=aliases["alias_id"].combine_chunks())
    return pc.coalesce(pc.take(aliases["customer_id"].combine_chunks(), position), person_ids)


def native_ids(lake: Lake, people: pa.Array) -> pa.Table:
    """`id`, `id_type`, `native_id` of those of `people` (unique pseudonyms) whom the vault knows, in their order.

    A person known by nothing but an e-mail address has no id that a downstream system could join on, and is not there.

    Raises:
        ShortlistError: The vault knows nobody: it was removed, or made with another key.
    """
    vault = lake.read("native_ids", columns=["id", "id_type", "native_id"])
    vault = vault.filter(pc.is_in(vault["id"], value_set=people)).group_by(["id", "id_type", "native_id"]).aggregate([])
    if len(people) and not vault.num_rows:
        raise ShortlistError(
            f"the vault {lake.vault} knows none of {len(people)} people: it was removed, or made with another key. "
            "Restore it, or delete the lake and run `shortlist ingest` for all days again."
        )
    at = pc.index_in(people, value_set=vault["id"].combine_chunks())
    return vault.take(pc.drop_null(at))
