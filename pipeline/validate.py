"""Great Expectations as the judge: a suite a table, run on what is about to be let in; the Data Docs keep its word.

DuckDB counts (`expectation_sql`), so the rows never become objects of Python; Great Expectations says what is to be
counted, judges the counts and shows them. No value of a row is kept or shown (`disclose`).
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import duckdb
import pyarrow as pa

from pipeline import disclose, suites
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.expectation_sql import COUNTED, Metric, UnsupportedError
from pipeline.query import Rows
from pipeline.reports.checks import checks_page, kept, page_of
from pipeline.suites import Expectation
from pipeline.tally import Found, Tally, Wanted, opened

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

_DOCS_KEEP = 200
_PANDAS_ROWS = 200_000
_FORMAT: dict[str, str | bool] = {"result_format": "BASIC", "exclude_unexpected_values": True}

INDEX = "index.html"
"""The page to open, below the folder of the Data Docs."""


@dataclass(frozen=True)
class Validation:
    """A suite's verdict on one table: whether it may be let in, and each failed expectation in words."""

    suite: str
    success: bool
    failures: tuple[str, ...]
    expectations: int
    warnings: tuple[str, ...] = ()


def check(
    name: str,
    rows: Rows,
    docs: Path,
    *,
    run: str,
    day: date,
    parameters: Mapping[str, float] | None = None,
    added: Path | None = None,
    con: duckdb.DuckDBPyConnection | None = None,
) -> Validation:
    """Judge `rows` by the suite `name` and keep the result under `docs` for the Data Docs.

    Args:
        rows: A table, or the Parquet files that hold it: these are scanned, never loaded.
        run: What is judged, as the Data Docs show it: `web 2026-06-30`.
        day: The day that is judged; it stands in for the time of the run, since no step reads the clock.
        added: The folder of `quality.suites`, whose lines of the same suite are judged as well.
        con: The `tally.database` to count in, where there is one.

    Raises:
        ShortlistError: An expectation can be computed by nobody, or the result cannot be written.
        ConfigurationError: A suite has a line that Great Expectations does not know or does not accept.
    """
    lines = suites.load(name, parameters, added)
    with _quiet(), _kept_in(docs):
        context = _context(docs)
        with opened(rows, con) as tally:
            results = _judged(context, name, lines, tally)
        _keep(context, name, results, run, day)
    failed = [(line, one) for line, one in zip(lines, results, strict=True) if not one.success]
    words = [
        (suites.severity(line) == suites.WARN and not disclose.raised(one), disclose.in_words(one))
        for line, one in failed
    ]
    failures = tuple(said for only_warns, said in words if not only_warns)
    return Validation(name, not failures, failures, len(lines), tuple(said for only_warns, said in words if only_warns))


# ---------------------------------------------------------------- the judge


@lru_cache(maxsize=1024)
def _understood(name: str, line: str) -> tuple[Any, Wanted]:
    """The line (JSON) as an expectation of Great Expectations, which accepted it, and the metrics that it judges by."""
    written = json.loads(line)
    expectation = _expectation(name, written)
    needs = expectation.get_validation_dependencies(runtime_configuration={"result_format": _FORMAT})
    return expectation, {
        key: Metric(one.metric_name, {**one.metric_domain_kwargs, **one.metric_value_kwargs})
        for key, one in needs.metric_configurations.items()
    }


def _expectation(name: str, line: Expectation) -> Any:
    import great_expectations as gx
    from great_expectations.exceptions.exceptions import GreatExpectationsError
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    known = list_registered_expectation_implementations()
    try:
        understood = gx.ExpectationSuite(name=name, expectations=[line]).expectations
    except (GreatExpectationsError, ValueError, TypeError) as error:
        raise ConfigurationError(f"suite {name!r}: {line['type']}: {error}") from error
    if not understood:
        raise ConfigurationError(
            f"suite {name!r}: Great Expectations knows no {line['type']!r} and would leave it out without a word"
            f"{suites.nearest(line['type'], known)}"
        )
    return understood[0]


def _judged(context: Any, name: str, lines: Sequence[Expectation], tally: Tally) -> list[Any]:
    """A result of Great Expectations for each line, in their order."""
    understood = [_understood(name, json.dumps(line, sort_keys=True)) for line in lines]
    found = tally.metrics([metrics for _, metrics in understood])
    return [
        _by_pandas(context, name, expectation, tally, metrics)
        if isinstance(metrics, UnsupportedError)
        else _by_metrics(expectation, metrics)
        for (expectation, _), metrics in zip(understood, found, strict=True)
    ]


def _by_metrics(expectation: Any, found: Found) -> Any:
    """Great Expectations' verdict on the metrics. An expectation that cannot be judged has failed."""
    from great_expectations.core import ExpectationValidationResult

    config = expectation.configuration
    if not isinstance(found, Mapping):
        return _stumbled(config, disclose.message(found))
    try:
        # `metrics_validate` does the same, and works out once more what was wanted: five times as slow.
        verdict = expectation._validate(metrics=found, runtime_configuration={"result_format": _FORMAT})
    except Exception as error:  # noqa: BLE001 (Great Expectations, too, makes a failed result of whatever is raised)
        return _stumbled(config, disclose.message(error))
    shown = verdict if isinstance(verdict, dict) else verdict.to_json_dict()
    return disclose.without_values(ExpectationValidationResult(**{**shown, "expectation_config": config}))


def _by_pandas(context: Any, name: str, expectation: Any, tally: Tally, reason: UnsupportedError) -> Any:
    """What DuckDB cannot count, Great Expectations counts itself: in memory, so of few rows only."""
    if tally.rows() > _PANDAS_ROWS:
        raise ShortlistError(
            f"suite {name!r}: {expectation.expectation_type} cannot be counted ({reason}), and there are too many rows "
            f"(more than {_PANDAS_ROWS}) to hold them in memory. Expectations for any number of rows: "
            f"{', '.join(sorted(COUNTED))}"
        )
    batch = context.data_sources.pandas_default.read_dataframe(_frame(tally.table()))
    result = batch.validate(expectation, result_format=_FORMAT)
    if traceback := _traceback(result.exception_info or {}):
        kind, _, _ = traceback.strip().splitlines()[-1].partition(":")
        return _stumbled(expectation.configuration, disclose.untold(kind))
    result.expectation_config = expectation.configuration
    return disclose.without_values(result)


def _traceback(info: Mapping[str, Any]) -> str | None:
    """What Great Expectations caught, said of the expectation or, a level deeper, of one of its metrics."""
    levels = (info, *(inner for inner in info.values() if isinstance(inner, dict)))
    return next((found for level in levels if (found := level.get("exception_traceback"))), None)


def _frame(rows: pa.Table) -> Any:
    """Plain columns as pandas; maps are opaque to expectations and slow to convert."""
    plain = [f.name for f in rows.schema if not pa.types.is_map(f.type)]
    return rows.select(plain).to_pandas(timestamp_as_object=False)


def _stumbled(config: Any, said: str) -> Any:
    """The result of an expectation that could not be judged."""
    from great_expectations.core import ExpectationValidationResult

    raised = {"raised_exception": True, "exception_message": said, "exception_traceback": None}
    return ExpectationValidationResult(success=False, expectation_config=config, result={}, exception_info=raised)


# ---------------------------------------------------------------- the Data Docs


def _keep(context: Any, name: str, results: Sequence[Any], run: str, day: date) -> None:
    """Store the results as Great Expectations does, where its Data Docs find them."""
    import great_expectations as gx
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    run_id = gx.RunIdentifier(run_name=run, run_time=datetime.combine(day, time()))
    met, all_ = sum(bool(one.success) for one in results), len(results)
    result = ExpectationSuiteValidationResult(
        success=met == all_,
        results=list(results),
        suite_name=name,
        statistics={
            "evaluated_expectations": all_,
            "successful_expectations": met,
            "unsuccessful_expectations": all_ - met,
            "success_percent": 100 * met / all_,
        },
        meta={
            "great_expectations_version": gx.__version__,
            "run_id": run_id,
            "validation_time": run_id.run_time,
            "batch_parameters": None,
        },
        batch_id=f"lake-{name}",
    )
    suite = ExpectationSuiteIdentifier(name=name)
    context.validation_results_store.store_validation_results(
        result, ValidationResultIdentifier(suite, run_id, batch_identifier=f"lake-{name}"), suite
    )


def build_docs(docs: Path) -> Path:
    """Write the Data Docs of everything judged so far; returns the page to open. Raises ShortlistError if it cannot."""
    with _quiet(), _kept_in(docs):
        if unshown := _unshown(docs):
            _context(docs).build_data_docs(resource_identifiers=unshown)
        index = docs / INDEX
        index.write_text(checks_page(list(kept(docs))), encoding="utf-8")
    return index


def _unshown(docs: Path) -> list[Any]:
    """The results that have no page yet, or an older one: rendering all of them again takes longer every night."""
    from great_expectations.data_context.types.resource_identifiers import ValidationResultIdentifier

    results, key_of = docs / "results", cast("Any", ValidationResultIdentifier).from_tuple
    return [
        key_of(path.relative_to(results).with_suffix("").parts)
        for path in sorted(results.rglob("*.json"))
        if not _is_newer(docs / page_of(path.relative_to(results)), path)
    ]


def _is_newer(page: Path, result: Path) -> bool:
    return page.exists() and page.stat().st_mtime_ns > result.stat().st_mtime_ns


@contextmanager
def _quiet() -> Iterator[None]:
    """Great Expectations draws progress bars and warns about its own dependencies; neither is for our users."""
    logger = logging.getLogger("great_expectations")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


@contextmanager
def _kept_in(docs: Path) -> Iterator[None]:
    """What the file system refused, as one message: a verdict that cannot be kept is none."""
    try:
        yield
    except OSError as error:
        raise ShortlistError(
            f"the verdicts of Great Expectations cannot be kept in {docs}: {error}. Nothing was let in; "
            "give this user write permission (or free disk space) and run the same command again."
        ) from error


@lru_cache(maxsize=8)
def _context(docs: Path) -> Any:
    """A context that remembers nothing but results: tasks that run at the same time share no file that they write."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import DataContextConfig, ProgressBarsConfig

    def store(kind: str, backend: dict[str, str]) -> dict[str, Any]:
        return {"class_name": kind, "store_backend": backend}

    def files(folder: str) -> dict[str, str]:
        return {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs / folder)}

    memory = {"class_name": "InMemoryStoreBackend"}
    return gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            config_version=4.0,
            expectations_store_name="suites",
            validation_results_store_name="results",
            checkpoint_store_name="checkpoints",
            stores={
                "suites": store("ExpectationsStore", memory),
                "results": store("ValidationResultsStore", files("results")),
                "checkpoints": store("CheckpointStore", memory),
                "validation_definition_store": store("ValidationDefinitionStore", memory),
            },
            data_docs_sites={
                "site": {
                    "class_name": "SiteBuilder",
                    "show_how_to_buttons": False,
                    "store_backend": files("data_docs"),
                    "site_index_builder": {
                        "class_name": "DefaultSiteIndexBuilder",
                        "validation_results_limit": _DOCS_KEEP,
                    },
                }
            },
            analytics_enabled=False,
            progress_bars=ProgressBarsConfig(globally=False),
        ),
    )
