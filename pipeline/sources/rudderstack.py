"""RudderStack: calls as its object storage destinations store them (JSON Lines), or tables of its warehouse.

They follow Segment's specification: see `segment` and `calls`. What RudderStack has of its own is read with it: the
`channel` (web, mobile, server), sessions (`context.sessionId`), traits repeated in every call's context, and consent as
lists of allowed and denied ids (`context.consentManagement`), of which `options.consent_category` names ours.
"""

from __future__ import annotations

from pipeline.sources import segment

TABLES = segment.TABLES
known = segment.known
read = segment.read
