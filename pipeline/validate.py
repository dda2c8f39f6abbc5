"""Great Expectations as the judge: a suite a table, run on what is about to be let in; the Data Docs keep its word."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.errors import ShortlistError
from pipeline.reports.checks import Verdict, checks_page

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

_PARAMETER = "$PARAMETER"
_DOCS_KEEP = 200

INDEX = "index.html"
"""The page to open, below the folder of the Data Docs."""


@dataclass(frozen=True)
class Validation:
    """A suite's verdict on one table: whether it passed, and each failed expectation in words."""

    suite: str
    success: bool
    failures: tuple[str, ...]
    expectations: int


def load_suite(name: str, parameters: Mapping[str, float] | None = None) -> list[dict[str, Any]]:
    """The expectations of `expectations/suites/<name>.json`, `{"$PARAMETER": p}` replaced by `parameters[p]`.

    Raises:
        ShortlistError: The suite is empty, or wants a parameter that was not given.
    """
    text = resources.files("expectations").joinpath("suites", f"{name}.json").read_text(encoding="utf-8")
    try:
        expectations: list[dict[str, Any]] = [_filled(e, parameters or {}) for e in json.loads(text)["expectations"]]
    except KeyError as error:
        raise ShortlistError(f"suite {name!r} needs the parameter {error}, which its caller did not give") from None
    if not expectations:
        raise ShortlistError(f"suite {name!r} holds no expectation: it would let anything pass")
    return expectations


def _filled(value: Any, parameters: Mapping[str, float]) -> Any:
    if isinstance(value, dict):
        if set(value) == {_PARAMETER}:
            return parameters[value[_PARAMETER]]
        return {k: _filled(v, parameters) for k, v in value.items()}
    return value


def check(
    name: str, rows: pa.Table, docs: Path, *, run: str, day: date, parameters: Mapping[str, float] | None = None
) -> Validation:
    """Judge `rows` by the suite `name` and keep the result under `docs` for the Data Docs.

    Args:
        run: What is judged, as the Data Docs show it: `web 2026-06-30`.
        day: The day that is judged; it stands in for the time of the run, since no step reads the clock.

    Raises:
        ShortlistError: Great Expectations dropped an expectation that it does not know (it only logs that), or the
            result cannot be written.
    """
    expectations = load_suite(name, parameters)
    with _quiet(), _kept_in(docs):
        context = _context(docs)
        result = _run(context, name, expectations, rows, run, day)
    failures = tuple(_in_words(one) for one in result["results"] if not one["success"])
    return Validation(name, bool(result["success"]) and not failures, failures, len(expectations))


def _run(
    context: Any, name: str, expectations: list[dict[str, Any]], rows: pa.Table, run: str, day: date
) -> dict[str, Any]:
    import great_expectations as gx

    suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
    if len(suite.expectations) != len(expectations):
        raise ShortlistError(
            f"suite {name!r}: Great Expectations understood {len(suite.expectations)} of {len(expectations)} "
            "expectations; a misspelt type is dropped in silence. "
            "Compare the types in expectations/suites with its gallery."
        )
    asset = context.data_sources.add_pandas("lake").add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe(run.replace(" ", "_"))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
    run_id = gx.RunIdentifier(run_name=run, run_time=datetime.combine(day, time()))
    # BASIC has all counts and costs half as much as the default, which also counts each unexpected value.
    result = definition.run(batch_parameters={"dataframe": _frame(rows)}, run_id=run_id, result_format="BASIC")
    found: dict[str, Any] = result.to_json_dict()
    return found


def _frame(rows: pa.Table) -> Any:
    """Plain columns as pandas; maps are opaque to expectations and slow to convert."""
    plain = [f.name for f in rows.schema if not pa.types.is_map(f.type)]
    return rows.select(plain).to_pandas(timestamp_as_object=False)


def _in_words(one: dict[str, Any]) -> str:
    config = one["expectation_config"]
    arguments = ", ".join(f"{k}={v}" for k, v in config["kwargs"].items() if k != "batch_id")
    raised = _raised(one.get("exception_info") or {})
    result = one.get("result") or {}
    found = raised or result.get(
        "observed_value", f"{result.get('unexpected_count')} of {result.get('element_count')} rows"
    )
    return f"{config['type']}({arguments}), found: {found}"


def _raised(info: dict[str, Any]) -> str | None:
    """What the expectation itself stumbled over, such as a missing column; often said a level deeper, by metric."""
    levels = (info, *(inner for inner in info.values() if isinstance(inner, dict)))
    return next((message for level in levels if (message := level.get("exception_message"))), None)


def build_docs(docs: Path) -> Path:
    """Write the Data Docs of everything judged so far; returns the page to open. Raises ShortlistError if it cannot."""
    with _quiet(), _kept_in(docs):
        _context(docs).build_data_docs()
        index = docs / INDEX
        index.write_text(checks_page(list(_verdicts(docs))), encoding="utf-8")
    return index


def _verdicts(docs: Path) -> Iterator[Verdict]:
    """What is kept of every verdict, by the layout of Great Expectations' store: suite, run, time, batch."""
    for path in sorted((docs / "results").rglob("*.json")):
        suite, judged, stamp = path.relative_to(docs / "results").parts[:3]
        found = json.loads(path.read_text(encoding="utf-8"))
        yield Verdict(
            day=f"{date.fromisoformat(stamp[:8])}",
            judged=judged,
            suite=suite,
            success=bool(found["success"]),
            met=sum(bool(one["success"]) for one in found["results"]),
            expectations=len(found["results"]),
            page=f"data_docs/validations/{path.relative_to(docs / 'results').with_suffix('.html')}",
        )


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
