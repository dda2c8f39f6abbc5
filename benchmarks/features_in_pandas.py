"""The contender: the person features of a night as an analyst would write them in pandas, vectorised, without loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS = ["person_id", "ts", "available_at", "event", "content_id", "dwell_seconds", "value", "device", "channel"]
_TEXT = ["event", "content_id", "device", "channel"]
STRENGTH = {"impression": 0, "refund": 0, "like": 3, "save": 3, "share": 3, "comment": 3, "follow": 2, "purchase": 5}
_SOCIAL = ["like", "save", "share", "comment", "follow"]
_READ = ["like", "save", "share", "comment"]
_HALF_LIVES = {"1h": 1 / 24, "1d": 1, "7d": 7, "30d": 30}
_DAY = pd.Timedelta(days=1)


def features(files: Sequence[Path], catalogue: Path, night: datetime) -> pd.DataFrame:
    """One row a person, sorted."""
    as_of = pd.Timestamp(night)
    log = _log(files, catalogue, as_of)
    people = log.groupby("person_id")["ts"].agg(["min", "max"])
    people = people[people["max"] >= as_of - 365 * _DAY]
    found = pd.concat([_activity(log, as_of), _days(log, as_of), _btyd(log, as_of), _sessions(log, as_of)], axis=1)
    found = found.reindex(people.index)
    found["tenure_days"] = (as_of - people["min"]) / _DAY
    counts = found.columns[found.columns.str.contains(r"_\d+[dh]$") & ~found.columns.str.startswith("session_")]
    found[counts] = found[counts].fillna(0.0)  # nobody counts as missing who did nothing in a window
    return found.reset_index()


def _log(files: Sequence[Path], catalogue: Path, as_of: pd.Timestamp) -> pd.DataFrame:
    """What was known, by person and time, with the classes that features count."""
    tables = [pq.read_table(file, columns=COLUMNS, read_dictionary=_TEXT, partitioning=None) for file in files]
    log = pa.concat_tables(tables).unify_dictionaries().to_pandas()
    log = log[(log["ts"] < as_of) & (log["available_at"] < as_of)]
    log = log.sort_values(["person_id", "ts"], kind="stable", ignore_index=True)
    categories = pq.read_table(catalogue).to_pandas().set_index("content_id")["category"]
    log["category"] = log["content_id"].map(categories).astype("category")
    event, dwell = log["event"], log["dwell_seconds"]
    log["dwell_seconds"] = dwell.fillna(0.0)
    log["strength"] = event.map(lambda name: STRENGTH.get(name, 1)).astype(float) + 2.0 * (dwell >= 30)
    log["active"] = ~event.isin(["impression", "refund"])
    for name in ("impression", "view", "click", "purchase", "refund"):
        log[name] = event == name
    log["social"] = event.isin(_SOCIAL)
    log["read"] = event.isin(_READ) | (log["view"] & (dwell >= 30))
    log["mobile"] = log["active"] & (log["device"] == "mobile")
    log["money"] = log["value"].where(log["purchase"] | log["refund"]).fillna(0.0)
    log["begins"] = _begins(log)
    return log


def _begins(log: pd.DataFrame) -> pd.Series:
    """Whether a session begins with the row; a refund is in none."""
    present = log.loc[~log["refund"], ["person_id", "ts"]]
    first = present["person_id"] != present["person_id"].shift()
    begins = first | (present["ts"].diff() > pd.Timedelta(minutes=30))
    return begins.reindex(log.index, fill_value=False)


def _activity(log: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    found = {}
    columns = {
        "active": "events",
        "impression": "shown",
        "click": "click",
        "read": "read",
        "purchase": "purchases",
        "dwell_seconds": "dwell_seconds",
        "money": "rfm_monetary",
        "begins": "sessions",
    }
    for days in (7, 30):
        recent = log[log["ts"] >= as_of - days * _DAY].groupby("person_id")[list(columns)].sum()
        found |= {f"{name}_{days}d": recent[column] for column, name in columns.items()}
        found[f"purchase_{days}d"] = recent["purchase"]
    for days in (90, 365):
        recent = log[log["ts"] >= as_of - days * _DAY].groupby("person_id")
        sums = recent[["active", "purchase", "money", "mobile"]].sum()
        names = {"active": "events", "purchase": "purchases", "money": "rfm_monetary"}
        found |= {f"{name}_{days}d": sums[column] for column, name in names.items()}
    found["mobile_share"] = (sums["mobile"] / sums["active"]).where(sums["active"] > 0)
    active = log[log["active"]]
    found["events_1d"] = active[active["ts"] >= as_of - _DAY].groupby("person_id").size()
    age = (as_of - active["ts"]) / _DAY
    decayed = {f"activity_{name}": active["strength"] * 0.5 ** (age / half) for name, half in _HALF_LIVES.items()}
    found |= dict(pd.DataFrame(decayed).groupby(active["person_id"]).sum())
    found["rfm_recency_days"] = (as_of - active.groupby("person_id")["ts"].max()) / _DAY
    return pd.DataFrame(found)


def _days(log: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """Active days by window: a day is in it that has a row in it."""
    active = log.loc[log["active"], ["person_id", "ts"]]
    latest = active.groupby(["person_id", active["ts"].dt.floor("D")])["ts"].max()
    inside = {f"rfm_frequency_{days}d": latest >= as_of - days * _DAY for days in (7, 30, 90, 365)}
    return pd.DataFrame(inside).groupby(level="person_id").sum()


def _btyd(log: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    bought = log[log["purchase"]]
    day = bought["ts"].dt.floor("D").rename("day")
    spent = bought.groupby(["person_id", day])["money"].sum().reset_index()
    people = spent.groupby("person_id")
    first, last, again = people["day"].min(), people["day"].max(), people.size() - 1
    rest = people["money"].sum() - people["money"].first()
    return pd.DataFrame(
        {
            "btyd_frequency": again,
            "btyd_recency_days": (last - first) / _DAY,
            "btyd_age_days": ((as_of - pd.Timedelta("1us")).floor("D") - first) / _DAY,
            "btyd_monetary": (rest / again).where(again > 0, 0.0),
            "purchase_recency_days": (as_of - bought.groupby("person_id")["ts"].max()) / _DAY,
        }
    )


def _sessions(log: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """Parts of the last session, and their means, each session weighing 2^(-age / half-life)."""
    present = log[~log["refund"]]
    number = present["begins"].cumsum().rename("session")
    grouped = present.groupby(number)
    kinds = ["view", "click", "social", "purchase"]
    first = grouped[["person_id", "ts", "channel"]].first()
    end = grouped["ts"].last()
    sums = grouped["active"].sum().to_frame("depth").join(grouped["dwell_seconds"].sum())
    sums["minutes"] = (end - first["ts"]) / pd.Timedelta(minutes=1)
    active = present[present["active"]]
    mix = active.groupby(number)[kinds].sum()
    shares = mix.div(sums["depth"].reindex(mix.index), axis=0).reindex(sums.index, fill_value=0.0)
    parts = sums.join(shares.add_prefix("mix_")).astype(float)
    weights = {name: 0.5 ** ((as_of - end) / _DAY / _HALF_LIVES[name]) for name in ("1d", "7d", "30d")}
    person = first["person_id"]
    is_last = person != person.shift(-1)
    in_category = _in_categories(active, number, sums["depth"])
    scalars = ["minutes", "depth", "dwell_seconds"]
    found = [
        _means(parts[scalars], weights["1d"], person, "1d"),
        *(_means(parts, weights[name], person, name) for name in ("7d", "30d")),
        *(_category_means(in_category, weights[name], person, name) for name in ("7d", "30d")),
        parts[is_last].set_index(person[is_last]).add_prefix("last_session_"),
        _last_categories(in_category, person[is_last]),
        _begun(first, weights["30d"]),
    ]
    return pd.concat(found, axis=1)


def _in_categories(active: pd.DataFrame, number: pd.Series, depth: pd.Series) -> pd.Series:
    """Share of each session's doings in each category that it had any in."""
    counts = active.groupby([number, "category"], observed=True).size()
    return counts / depth.reindex(counts.index.get_level_values("session")).to_numpy()


def _means(parts: pd.DataFrame, weight: pd.Series, person: pd.Series, name: str) -> pd.DataFrame:
    sums = parts.mul(weight, axis=0).groupby(person).sum()
    return sums.div(weight.groupby(person).sum(), axis=0).add_prefix("session_").add_suffix(f"_{name}")


def _category_means(shares: pd.Series, weight: pd.Series, person: pd.Series, name: str) -> pd.DataFrame:
    session = shares.index.get_level_values("session")
    weighted = shares * weight.reindex(session).to_numpy()
    whose = person.reindex(session).to_numpy()
    sums = weighted.groupby([whose, shares.index.get_level_values("category")], observed=True).sum()
    whole = weight.groupby(person).sum()
    means = _wide(sums).reindex(whole.index).fillna(0.0).div(whole, axis=0)
    return _named(means, "session_category_{}_" + name)


def _last_categories(shares: pd.Series, last: pd.Series) -> pd.DataFrame:
    theirs = shares[shares.index.get_level_values("session").isin(last.index)]
    found = _wide(theirs).reindex(last.index).fillna(0.0).set_index(last)
    return _named(found, "last_session_category_{}")


def _begun(first: pd.DataFrame, weight: pd.Series) -> pd.DataFrame:
    """Where and when sessions began."""
    person = first["person_id"]
    whole = weight.groupby(person).sum()
    bins = [f"{hour:02d}_{hour + 4:02d}" for hour in range(0, 24, 4)]
    days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    keys: Mapping[str, tuple[pd.Series, Sequence[str]]] = {
        "entry": (first["channel"], ["web", "app", "email", "push", "social", "search"]),
        "hour": (first["ts"].dt.hour // 4, bins),
        "weekday": (first["ts"].dt.dayofweek, days),
    }
    found = []
    for what, (key, names) in keys.items():
        sums = weight.groupby([person, key], observed=True).sum()
        listed = _wide(sums).reindex(columns=names if what == "entry" else range(len(names))).set_axis(names, axis=1)
        shares = listed.reindex(whole.index).fillna(0.0).div(whole, axis=0)
        found.append(_named(shares, f"session_{what}_{{}}_30d"))
    return pd.concat(found, axis=1)


def _wide(series: pd.Series) -> pd.DataFrame:
    """The last level of the index as columns."""
    return series.unstack()  # noqa: PD010 - of a series there is no pivot_table


def _named(frame: pd.DataFrame, pattern: str) -> pd.DataFrame:
    return frame.set_axis([pattern.format(name) for name in frame.columns], axis=1)


def write(found: pd.DataFrame, path: Path, names: Sequence[str]) -> None:
    """As Parquet: the named columns as floats."""
    columns = {"person_id": found["person_id"], **{name: found[name].to_numpy(np.float64) for name in names}}
    pd.DataFrame(columns).to_parquet(path, compression="zstd", index=False)
