"""Who may be personalized: nobody who objects, and of the silent ones those whom the configuration allows."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.identify import People
from pipeline.sections import Privacy


@dataclass(frozen=True)
class Consent:
    """What is known at an instant; all are ids of persons (int64), but `suppressed`, which has their other ids too.

    `agreed`: a CRM says yes. `customers`: somebody calls them a customer. `has_crm`: there is a CRM to ask at all.
    """

    suppressed: pa.Array
    agreed: pa.Array
    customers: pa.Array
    has_crm: bool

    @classmethod
    def of(
        cls, suppressed: pa.Array, contacts: pa.Table, events: pa.Table, transactions: pa.Table, people: People
    ) -> Consent:
        """From the newest CRM snapshots (`contacts`) and what people did; whoever orders is a customer."""
        yes = contacts.filter(pc.fill_null(contacts["consent_personalization"], False))["customer_id"]
        named = [contacts["customer_id"], events["customer_id"], transactions["person_id"]]
        return cls(suppressed, _persons([yes], people), _persons(named, people), contacts.num_rows > 0)

    def may(self, people: pa.Array, privacy: Privacy) -> pa.Array:
        """Whether each of `people` may be personalized (bool)."""
        allowed = pc.invert(pc.is_in(people, value_set=self.suppressed))
        customer = pc.is_in(people, value_set=self.customers)
        if privacy.unknown_consent == "deny" and self.has_crm:
            agreed = pc.is_in(people, value_set=self.agreed)
            allowed = pc.and_(allowed, pc.or_(pc.invert(customer), agreed))
        if privacy.unknown_visitors == "deny":
            allowed = pc.and_(allowed, customer)
        return allowed


def _persons(columns: list[pa.ChunkedArray], people: People) -> pa.Array:
    ids = pc.drop_null(pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.int64()))
    return pc.unique(people.resolve(pc.unique(ids)))
