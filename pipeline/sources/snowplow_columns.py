"""Where Snowplow's enriched events keep what: 131 unnamed columns of a file, or the named ones of a warehouse's table.

In the file, entities are JSON in `contexts`, `derived_contexts` and `unstruct_event`; in a warehouse each kind has a
column of its own, `contexts_<vendor>_<name>_<version>` or `unstruct_event_…`, as JSON text or nested. Both are asked
for by the warehouse's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from pipeline.sources import sql

_NAMES = """
    app_id platform etl_tstamp collector_tstamp dvce_created_tstamp event event_id txn_id name_tracker
    v_tracker v_collector v_etl user_id user_ipaddress user_fingerprint domain_userid domain_sessionidx
    network_userid geo_country geo_region geo_city geo_zipcode geo_latitude geo_longitude geo_region_name
    ip_isp ip_organization ip_domain ip_netspeed page_url page_title page_referrer page_urlscheme page_urlhost
    page_urlport page_urlpath page_urlquery page_urlfragment refr_urlscheme refr_urlhost refr_urlport
    refr_urlpath refr_urlquery refr_urlfragment refr_medium refr_source refr_term mkt_medium mkt_source
    mkt_term mkt_content mkt_campaign contexts se_category se_action se_label se_property se_value
    unstruct_event tr_orderid tr_affiliation tr_total tr_tax tr_shipping tr_city tr_state tr_country
    ti_orderid ti_sku ti_name ti_category ti_price ti_quantity pp_xoffset_min pp_xoffset_max pp_yoffset_min
    pp_yoffset_max useragent br_name br_family br_version br_type br_renderengine br_lang br_features_pdf
    br_features_flash br_features_java br_features_director br_features_quicktime br_features_realplayer
    br_features_windowsmedia br_features_gears br_features_silverlight br_cookies br_colordepth br_viewwidth
    br_viewheight os_name os_family os_manufacturer os_timezone dvce_type dvce_ismobile dvce_screenwidth
    dvce_screenheight doc_charset doc_width doc_height tr_currency tr_total_base tr_tax_base tr_shipping_base
    ti_currency ti_price_base base_currency geo_timezone mkt_clickid mkt_network etl_tags dvce_sent_tstamp
    refr_domain_userid refr_dvce_tstamp derived_contexts domain_sessionid derived_tstamp event_vendor
    event_name event_format event_version event_fingerprint true_tstamp
"""
COLUMNS = tuple(_NAMES.split())
"""The file's columns in their order (snowplow-python-analytics-sdk, `event_transformer.py`)."""

_READ = """
    app_id platform etl_tstamp collector_tstamp dvce_created_tstamp event event_id user_id domain_userid network_userid
    geo_country page_url page_urlhost page_urlpath page_title contexts se_action se_label se_property unstruct_event
    tr_orderid ti_orderid ti_sku ti_price ti_quantity useragent br_type dvce_type derived_contexts domain_sessionid
    derived_tstamp event_name event_fingerprint load_tstamp
"""
READ = frozenset(_READ.split())
"""Columns that anything is read of; the user agent gives the kind of device and is not kept."""

_ENTITY = re.compile(r"(contexts|unstruct_event)_(\w+?)_(\d+)(_\d+_\d+)?")


_NONE, _NO_ENTITY = "NULL", "CAST(NULL AS JSON)"


class Columns(Protocol):
    """How the SQL of a part, the relation `part`, gets at a column or an entity."""

    @property
    def refused(self) -> str:
        """SQL for why a row cannot be read at all, or null."""
        ...

    def value(self, name: str) -> str:
        """SQL for a column as it is; NULL where there is none."""
        ...

    def type(self, name: str) -> pa.DataType:
        """What Arrow calls `value`."""
        ...

    def entity(self, name: str) -> str:
        """SQL for an entity as JSON, the first if there are several: `contexts_com_acme_article_1` and the like."""
        ...


def text(columns: Columns, name: str) -> str:
    """SQL for a column as text, null where it is empty."""
    return f"nullif(CAST({columns.value(name)} AS VARCHAR), '')"


def field(columns: Columns, name: str, key: str) -> str:
    """SQL for a field of an entity as text; `key` in camelCase or snake_case, whichever the export has."""
    entity = columns.entity(name)
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower()
    camel = re.sub(r"_([a-z0-9])", lambda part: part.group(1).upper(), key)
    return (
        "coalesce("
        + ", ".join(f"nullif(json_extract_string({entity}, '$.{k}'), '')" for k in dict.fromkeys((key, snake, camel)))
        + ")"
    )


@dataclass(frozen=True)
class FileColumns:
    """The file's: `part` has `cells`, a line split at its tabs."""

    @property
    def refused(self) -> str:
        """There are too many cells, or too few."""
        wanted = len(COLUMNS)
        return f"CASE WHEN len(cells) <> {wanted} THEN 'has ' || len(cells) || ' columns, not {wanted}' END"

    def value(self, name: str) -> str:
        """A cell."""
        return f"cells[{COLUMNS.index(name) + 1}]" if name in COLUMNS else _NONE

    def type(self, name: str) -> pa.DataType:
        """Always text."""
        return pa.string()

    def entity(self, name: str) -> str:
        """The entity whose schema's URI says what the column's name would."""
        return _in_json(self, name)


@dataclass(frozen=True)
class NamedColumns:
    """A warehouse's: `part` has columns `c0`, `c1` … in the order of `names`; capitals do not matter."""

    names: Sequence[str]
    types: Mapping[str, pa.DataType]
    refused = "CAST(NULL AS VARCHAR)"

    @classmethod
    def of(cls, schema: pa.Schema) -> NamedColumns:
        """The columns of an Arrow table."""
        names = [name.lower() for name in schema.names]
        return cls(names, dict(zip(names, schema.types, strict=True)))

    def value(self, name: str) -> str:
        """A column, or NULL: a warehouse lacks those that were never filled."""
        return f"c{self.names.index(name)}" if name in self.names else _NONE

    def type(self, name: str) -> pa.DataType:
        """As the table has it."""
        return self.types.get(name, pa.string())

    def entity(self, name: str) -> str:
        """From its own columns (one a version in some warehouses), else from the JSON."""
        own = [self._first(column) for column in self.names if re.fullmatch(rf"{name}(_\d+_\d+)?", column)]
        return f"coalesce({', '.join([*own, _in_json(self, name)])})"

    def _first(self, column: str) -> str:
        nested = pa.types.is_nested(self.types[column])
        value = self.value(column)
        json = f"to_json({value})" if nested else f"TRY_CAST(nullif(CAST({value} AS VARCHAR), '') AS JSON)"
        return f"CASE json_type({json}) WHEN 'ARRAY' THEN json_extract({json}, '$[0]') WHEN 'OBJECT' THEN {json} END"


def is_read(column: str) -> bool:
    """Whether a warehouse's column is one of those that are read."""
    return column.lower() in READ or _ENTITY.fullmatch(column.lower()) is not None


def _in_json(columns: Columns, name: str) -> str:
    """The entity from the JSON columns: its schema's URI is the column's name with other punctuation, or capitals."""
    kind, body, version = re.findall(r"^(contexts|unstruct_event)_(\w+)_(\d+)$", name)[0]
    schema = sql.text(f"(?i)^iglu:{body.replace('_', '[^a-z0-9]?')}/jsonschema/{version}-")
    if kind == "unstruct_event":
        event = f"json_extract({_json(columns, 'unstruct_event')}, '$.data')"
        return f"CASE WHEN {_is(event, schema)} THEN json_extract({event}, '$.data') END"
    found = (
        f"json_extract(list_filter(json_extract({_json(columns, column)}, '$.data[*]'), "
        f"lambda entity: {_is('entity', schema)})[1], '$.data')"
        for column in ("contexts", "derived_contexts")
        if columns.value(column) != _NONE
    )
    return f"coalesce({', '.join([*found, _NO_ENTITY])})"


def _is(entity: str, schema: str) -> str:
    return f"regexp_matches(json_extract_string({entity}, '$.schema'), {schema})"


def _json(columns: Columns, name: str) -> str:
    return f"TRY_CAST({text(columns, name)} AS JSON)"
