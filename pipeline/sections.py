"""The sections of `shortlist.toml`, each with its keys, their limits and what they are when nothing is said."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, model_validator

from expectations import schemas
from pipeline import deadline
from pipeline.causes import KINDS, Kind
from pipeline.rule_settings import known_segments
from pipeline.settings import Settings, nearest

_CADENCES = {"1d": 24, "12h": 12, "8h": 8, "6h": 6, "4h": 4, "3h": 3, "2h": 2, "1h": 1}


@cache
def _zones() -> set[str]:
    """Those that this machine knows: to look is to open six hundred files."""
    return available_timezones()


def _known_zone(name: str) -> str:
    if name not in _zones():
        raise ValueError(f"unknown time zone {name!r}{nearest(name, _zones())}")
    return name


def _store(url: str) -> str:
    """A folder in a bucket, without a slash at its end; who may write there is in the environment."""
    if not re.fullmatch(r"(s3|gs|az)://[a-z0-9][a-z0-9._-]+(/[\w!.*'()=-]+)*/?", url, re.ASCII):
        raise ValueError(
            "not a folder in an object store: expected s3://bucket/folder, gs://bucket/folder or "
            "az://container/folder, in letters, digits and -_.; keys, accounts and endpoints are set in the environment"
        )
    if {".", ".."} & set(url.split("/")):
        raise ValueError("an object store has no `.` and `..`: write the folder itself")
    return url.rstrip("/")


def _variable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise ValueError("not the name of an environment variable; what it holds is set there, and never in this file")
    return name


def _page(url: str) -> str:
    """The address of pages, without a slash at its end."""
    if url and not re.fullmatch(r"https?://[^\s@?]+", url):
        raise ValueError("not an address of pages: expected http://… or https://…, without user, password and query")
    return url.rstrip("/")


class Project(Settings):
    """Where things are, and how often a snapshot is made."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")] = "shortlist"
    lake: str = "lake"
    published: str = "published"
    state: str = "state"
    """Airflow's and MLflow's databases, the vault, reports and work in progress."""
    timezone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    cadence: Literal["1d", "12h", "8h", "6h", "4h", "3h", "2h", "1h"] = "1d"
    id_key_env: str = "SHORTLIST_ID_KEY"
    development_key: bool = False
    """Use a public key when the environment has none. For trying things out only: anyone can undo the pseudonyms."""

    @property
    def zone(self) -> ZoneInfo:
        """The time zone in which a day begins and ends."""
        return ZoneInfo(self.timezone)

    @property
    def step(self) -> timedelta:
        """The time from one night to the next."""
        return timedelta(hours=_CADENCES[self.cadence])


class Source(Settings):
    """One export: its format, where its files are, and how its columns map to ours."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    format: str
    path: str
    table: Literal["events", "content", "customers", "transactions", "popularity", "links", "signals"] | None = None
    late_days: Annotated[int, Field(ge=0, le=60)] = 3
    """How many days before the newest are looked at again every night; a file that did not change costs its hash."""
    delay_minutes: Annotated[int, Field(ge=0)] = 0
    """How long after it happened a row can be known; `available_at` = `ts` + this, unless the export says better."""
    required: bool = True
    """Whether a night may run without this source's newest file."""
    timestamp: str | None = None
    encoding: str = "utf-8"
    columns: Mapping[str, str] = Field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)
    options: Mapping[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _table_needs_a_table(self) -> Source:
        if self.format == "table" and self.table is None:
            raise ValueError('format = "table" needs table = "events", "content", "customers" or "transactions"')
        if self.table is not None:
            known = schemas.NATIVE[self.table].names
            for column in (*self.columns, *self.values):
                if column not in known and self.table != "customers":
                    raise ValueError(f"{column!r} is no column of {self.table}{nearest(column, known)}")
        return self


class Goal(Settings):
    """One engagement to predict: what counts, how long it may take, what it is worth."""

    events: tuple[str, ...] = ()
    min_dwell_seconds: Annotated[float, Field(gt=0)] | None = None
    horizon_days: Annotated[float, Field(gt=0, le=60)] = 1
    weight: Annotated[float, Field(ge=0)] = 1.0
    """How much the campaign cares for it."""
    value: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """What one such engagement is worth, in the campaign's currency."""

    @property
    def worth(self) -> float:
        """What counts in relevance: weight x value."""
        return self.weight * self.value

    @property
    def horizon(self) -> timedelta:
        """How long after a night the goal can still be reached."""
        return timedelta(days=self.horizon_days)

    @model_validator(mode="after")
    def _counts_something(self) -> Goal:
        if not self.events and self.min_dwell_seconds is None:
            raise ValueError("a goal needs `events`, `min_dwell_seconds` or both")
        for event in self.events:
            if event not in schemas.EVENTS and not event.startswith(schemas.CUSTOM_PREFIX):
                raise ValueError(f"unknown event {event!r}{nearest(event, schemas.EVENTS)}")
        return self


class Ranking(Settings):
    """How long lists are, what they may hold."""

    k: Annotated[int, Field(ge=1, le=500)] = 20
    candidates: Annotated[int, Field(ge=1)] = 200
    explore: Annotated[float, Field(ge=0, le=1)] = 0.05
    """The share of the candidates that is drawn by lot from new contents that next to nobody turned to yet."""
    max_per_category: Annotated[int, Field(ge=1)] = 5
    max_per_author: Annotated[int, Field(ge=1)] | None = None
    diversity: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How much of its relevance a content loses that is of the same category, tags and author as one above it."""
    frequency_cap: Annotated[int, Field(ge=1)] | None = None
    """On how many of the last `frequency_nights` a content may stand in a person's list, unless they turn to it."""
    frequency_nights: Annotated[int, Field(ge=1, le=60)] = 7
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """0: the best first. Above, places are drawn by lot, in proportion to relevance^(1 / temperature)."""
    min_quality: float = 0.0
    hide_engaged: bool = True
    """Leave out what the person has already engaged with."""
    model_for: Annotated[tuple[str, ...], AfterValidator(known_segments)] = ()
    """The RFM segments whose lists the model orders, where not all: others' are by gravity and the rules."""


class Training(Settings):
    """How much history is replayed and how much search it is worth."""

    nights: Annotated[int, Field(ge=3)] = 60
    warm_up_days: Annotated[int, Field(ge=1)] = 7
    """The first replayed night has at least this much history behind it."""
    history_days: Annotated[int, Field(ge=7)] = 365
    search: Literal["tpe", "grid"] = "tpe"
    """How hyper-parameters are looked for: by Optuna's TPE, or among the 24 combinations of `models.grid.GRID`."""
    trials: Annotated[int, Field(ge=1)] = 30
    seconds: Annotated[float, Field(gt=0)] = 600
    min_positives: Annotated[int, Field(ge=2)] = 30
    """A goal with fewer engagements than this, in training or in validation, is not learned, and the run says so."""
    max_rows: Annotated[int, Field(ge=1000)] = 2_000_000
    negatives: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Where no impressions are logged: the share of the candidates without an engagement that are learned from."""
    balance: Literal["none", "segment"] = "none"
    """`segment`: people who are new, light and heavy users count for the same in total, no row for more than five."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where trees grow; lists are scored by the processor. Without a GPU XGBoost warns and takes the processor too."""
    challengers: tuple[Literal["logistic_regression", "random_forest", "mlp", "rank_ndcg"], ...] = (
        "logistic_regression",
        "mlp",
        "rank_ndcg",
    )
    """What else learns from the same rows, to stand beside the model in every table; none of it is ever published.

    A random forest costs more than the other three together.
    """
    seed: int = 7


class Retrain(Settings):
    """When a new model is trained."""

    when: Literal["needed", "always", "never"] = "needed"
    max_age_days: Annotated[float, Field(gt=0)] = 30
    cool_down_days: Annotated[float, Field(ge=0)] = 3
    """After a training, whatever came of it, neither age, drift nor a dip calls for another one for so long."""
    dip_nights: Annotated[int, Field(ge=1, le=14)] = 3
    """The newest matured nights on which the champion is judged; its reference are twice as many that it was tested on.
    """
    dip_people: Annotated[int, Field(ge=100)] = 5000
    """So many people who came are judged by, of each night."""
    dip_margin: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """A drop in AUC or NDCG@10 that does not matter."""
    dip_detectable: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """A drop that should be seen: with fewer engagements than that takes, the arm says that it cannot tell."""
    dip_alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """How likely a champion that did not get worse is ever accused of it, over all nights that it serves."""

    @model_validator(mode="after")
    def _a_drop_that_matters_can_be_seen(self) -> Retrain:
        if self.dip_detectable <= self.dip_margin:
            raise ValueError(
                f"retrain.dip_detectable is {self.dip_detectable:g} and retrain.dip_margin {self.dip_margin:g}: a drop "
                "that should be seen must be larger than one that does not matter"
            )
        return self


class Drift(Settings):
    """How the drift check decides."""

    nights: Annotated[int, Field(ge=1)] = 3
    people: Annotated[int, Field(ge=20)] = 2000
    permutations: Annotated[int, Field(ge=99)] = 999
    q: Annotated[float, Field(gt=0, lt=1)] = 0.01
    floor: Annotated[float, Field(ge=0)] = 0.02
    burst: Annotated[float, Field(gt=0, le=1)] = 0.05
    """A rise of the share of missing or unknown values by this much is a fault of the data: the night is held back."""
    ignore: tuple[str, ...] = ()
    """Features, and columns of exports, that neither hold a night back nor call for a model, because they are known."""


class Quality(Settings):
    """When a day's export is too broken to be let in."""

    max_quarantined_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    min_rows_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    """A day with fewer rows than this share of the trailing days' median is refused."""
    max_rows_share: Annotated[float, Field(gt=1)] = 5.0
    trailing_days: Annotated[int, Field(ge=1)] = 14
    suites: str | None = None
    """A folder of your own Great Expectations suites; their lines are added to ours of the same name."""


class Privacy(Settings):
    """What consent means here. An objection always counts, whoever made it and wherever it was said."""

    unknown_consent: Literal["allow", "deny"] = "deny"
    """Whether a customer may be personalized who said neither yes nor no, or whom the CRM (if any) does not know."""
    unknown_visitors: Literal["allow", "deny"] = "allow"
    """Whether a browser may be personalized that nobody ever logged in with; its consent is the analytics tool's."""


class Identity(Settings):
    """When ids that were seen together are not one person."""

    people_per_visitor: Annotated[int, Field(ge=1)] = 5
    """A browser with more people than this (a kiosk, a test machine) is nobody's."""
    customers_per_address: Annotated[int, Field(ge=1)] = 5
    """An e-mail address or order of more customers than this (info@...) joins nobody."""


class Engine(Settings):
    """Where people are measured."""

    kind: Literal["local", "spark"] = "local"
    master: str = "local[*]"
    """Of Spark: `local[*]`, `yarn`, `k8s://...`, `spark://host:7077`."""
    workers: Annotated[int, Field(ge=1)] | None = None
    """Of the local engine: how many shards at a time; the number of processors, unless it says otherwise."""

    @property
    def threads(self) -> int:
        """The same as a number."""
        return self.workers or len(os.sched_getaffinity(0))


class Limits(Settings):
    """What reading one export may take, and what no export looks like: a file beyond it is refused as a whole."""

    memory_mb: Annotated[int, Field(ge=256)] = 2048
    """Of the process that reads it; half of it is DuckDB's, which spills what is more."""
    spill_gb: Annotated[float, Field(gt=0)] = 20
    cpu_seconds: Annotated[int, Field(ge=1)] = 3600
    seconds: Annotated[float, Field(gt=0)] = 3600
    """For which we wait for that process, not counting what we do ourselves with what it has read."""
    max_file_gb: Annotated[float, Field(gt=0)] = 50
    max_columns: Annotated[int, Field(ge=1)] = 2000
    max_string_mb: Annotated[float, Field(gt=0)] = 16
    """The longest cell."""
    max_ratio: Annotated[float, Field(ge=1)] = 200
    """Unpacked bytes a packed byte of .gz, .zst and Parquet; only judged beyond 64 MB unpacked."""


class Publish(Settings):
    """Where the published tables go besides `project.published`, and in which other formats."""

    also: tuple[Literal["csv", "jsonl", "delta"], ...] = ()
    """Formats in which the snapshot that serves is written beside it."""
    stores: tuple[Annotated[str, AfterValidator(_store)], ...] = ()
    """Object stores that get every snapshot too: `s3://bucket/folder`, `gs://…`, `az://…`."""

    @model_validator(mode="after")
    def _stores_are_apart(self) -> Publish:
        for one in self.stores:
            if self.stores.count(one) > 1:
                raise ValueError(f"publish.stores names {one} twice; one folder gets the snapshots once")
        return self


class Housekeeping(Settings):
    """What is kept."""

    snapshots: Annotated[int, Field(ge=1)] = 14
    """How many of the latest nights' snapshots; the one that serves is kept besides."""
    snapshot_hours: Annotated[float, Field(ge=0)] = 24
    """A snapshot that was published less than this ago is kept, too, however many have followed."""
    lake_versions_hours: Annotated[int, Field(ge=0)] = 168


class Alerts(Settings):
    """Who is told what, and from when on; see `pipeline.causes` for the kinds."""

    urls_env: Annotated[str, AfterValidator(_variable)] = "SHORTLIST_ALERT_URLS"
    """The environment variable (or Airflow Variable, in lower case) with the Apprise URLs: there are tokens in them."""
    kinds: tuple[Kind, ...] = tuple(KINDS)
    """What is told at all."""
    airflow_url: Annotated[str, AfterValidator(_page)] = ""
    """Where Airflow's pages are for who reads the message, such as `https://airflow.example.com`."""
    mlflow_url: Annotated[str, AfterValidator(_page)] = ""
    deadline_hours: Annotated[float, Field(gt=0, le=24 * 365)] = deadline.HOURS
    """How long after Airflow has queued a night's `personalize` its lists must be published."""
    stale_nights: Annotated[int, Field(ge=1)] = 2
    """How many nights what serves may be behind."""
    min_people_share: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Fewer people with a list than this share of the last snapshots' median have shrunken."""


DEFAULT_GOALS = {
    "click": Goal(events=("click",), weight=0.2),
    "read": Goal(events=("like", "save", "share", "comment"), min_dwell_seconds=30, weight=0.5),
    "purchase": Goal(events=("purchase",), weight=1.0),
}
