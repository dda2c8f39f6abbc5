"""What a person reads at the end of a command: what happened, where it lies, what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline import snapshot
from pipeline.config import Config
from pipeline.ingest import IngestReport
from pipeline.lake import Lake
from pipeline.replay_summary import ReplayReport


def night(report: Mapping[str, Any], config: Config, out: Console) -> None:
    """The end of `shortlist run`."""
    lake = Lake.of(config)
    out.print()
    out.rule(f"[bold]{report['as_of']}")
    for line in [*_story(report), *_alerted(report.get("alert"))]:
        out.print(line, markup=False, soft_wrap=True)
    out.print()
    for name, place in _places(report, lake):
        out.print(f"{name:<18}{place}", markup=False, soft_wrap=True)
    out.print("\nNext, for example:", markup=False)
    for command in _next(config):
        out.print(f"  {command}", markup=False, soft_wrap=True)


def _alerted(alert: Mapping[str, Any] | None) -> list[str]:
    """What people should know, and whether anybody was told."""
    if not alert:
        return []
    lines = [f"alert: {one['heading']}: {one['sentence']}" for one in alert["open"]]
    lines += [f"resolved: {one['heading']}: {one['sentence']}" for one in alert["resolved"]]
    sent = f"  {alert['sent']} messages sent to {', '.join(alert['addresses'])}"
    return [*lines, *([sent] if alert["sent"] else []), *(f"  note: {note}" for note in alert["notes"])]


def _places(report: Mapping[str, Any], lake: Lake) -> list[tuple[str, str]]:
    """What was made, and where it lies."""
    places = [
        ("published tables", str(lake.rankings / "current")),
        ("models, decisions", f"{lake.tracking}  (`shortlist up` opens MLflow)"),
        ("Data Docs", str(report["finish"]["data_docs"])),
    ]
    training_page = (report.get("train") or {}).get("report")
    return [*places, ("training report", training_page)] if training_page else places


def _story(report: Mapping[str, Any]) -> list[str]:
    features, decision, train = report["build_features"], report["check_drift"], report.get("train")
    rank, publish = report["rank"], report["publish"]
    lines = [_loaded(report["finish"])]
    lines += [f"  note: {warning}" for warning in report["finish"]["warnings"]]
    lines.append(
        f"features: {features['people']:,} people, {features['content']:,} contents, {features['features']} features"
    )
    if features["without"]:
        lines.append(f"  done without: {', '.join(features['without'])}")
    lines += [_graded(one) for one in report["grade"]["graded"]]
    lines.append(f"decision: {decision['verdict']}")
    if train:
        lines += _trained(train)
    lines.append(f"ranked: {rank['rows']:,} rows for {rank['people']:,} people by model {rank['model_version']}")
    state = "is CURRENT" if publish["current"] else "is kept, but CURRENT names a later night"
    made = "published" if publish["created"] else "already published, byte for byte:"
    lines.append(f"{made} {publish['name']} ({state}); {len(publish['checks'])} checks passed")
    if publish["exports"]:
        lines.append(f"exported what serves as {', '.join(publish['exports'])}")
    return lines


def _loaded(finish: Mapping[str, Any]) -> str:
    kept = sum(day["kept"] for day in finish["days"])
    refused = sum(sum(day["quarantined"].values()) for day in finish["days"])
    if not finish["changed"]:
        return "ingest: every file was already in the lake"
    said = f"ingest: {kept:,} rows kept, {refused:,} quarantined, {len(finish['days']):,} (source, day) tables replaced"
    purged = sum(finish["purged"].values())  # an export is judged by who objected when it came: the order decides which
    return f"{said}; {purged:,} rows purged, of people who object" if purged else said


def _graded(one: Mapping[str, Any]) -> str:
    mean, low, high = one["difference"]
    better = "better than" if low > 0 else "worse than" if high < 0 else "no different from"
    return (
        f"graded {one['as_of'][:10]}: NDCG@10 {one['ndcg_10']:.3f} over {one['people']:,} people, "
        f"{better} most-popular {one['most_popular']:.3f} (difference {mean:+.3f}, 95 % {low:+.3f} to {high:+.3f})"
    )


def _trained(train: Mapping[str, Any]) -> list[str]:
    if train["version"] is None:
        return [f"nothing was learned: {train['reason']}"]
    lines = [
        f"trained version {train['version']} ({train['trials']} trials, {train['seconds']:.0f} s): {train['reason']}"
    ]
    for goal, figures in train["goals"].items():
        lines.append(
            f"  {goal}: AUC {figures['auc']:.3f}, PR-AUC {figures['pr_auc']:.3f}, "
            f"ECE {figures['ece']:.4f}, lift@10% {figures['lift_10']:.1f}"
        )
    lines += [f"  {goal}: not learned ({why})" for goal, why in train["skipped"].items()]
    lines.append(
        "  NDCG@10: " + ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in train["ndcg_10"].items())
    )
    return lines


def _next(config: Config) -> list[str]:
    rankings = Lake.of(config).rankings
    somebody = snapshot.read(rankings, "people")["person_id"].slice(0, 1).to_pylist()
    current = rankings / "current" / ("people" if somebody else "default")
    return [
        f'.venv/bin/python -c "import pandas; print(pandas.read_parquet({str(current)!r}).head(20))"',
        *(f".venv/bin/shortlist show --config {config.file} -- {shlex.quote(person)}" for person in somebody),
        f".venv/bin/shortlist up --config {config.file}",
    ]


def ingested(report: IngestReport, out: Console) -> None:
    """The end of `shortlist ingest`."""
    out.print(_loaded(report.to_json()), markup=False, soft_wrap=True)
    for day in report.days:
        for reason, count in day.quarantined.items():
            out.print(
                f"  {day.source} {day.date or ''} {day.table}: {count:,} rows quarantined: {reason}", markup=False
            )
    for warning in report.warnings:
        out.print(f"  note: {warning}", markup=False, soft_wrap=True)
    out.print(f"Data Docs: {report.data_docs}", markup=False, soft_wrap=True)


def replay(report: ReplayReport, out: Console) -> None:
    """The end of `shortlist replay`: every method, the best first, and ours against each."""
    columns = {"ndcg_10": "NDCG@10", "recall_10": "Recall@10", "hit_rate_10": "hit rate", "coverage": "coverage"}
    found = Table("", *columns.values(), "shortlist is", title=f"{report.person_nights:,} person-nights")
    for name in sorted(report.methods, key=lambda name: -report.methods[name]["ndcg_10"]["mean"]):
        means = [f"{report.methods[name][metric]['mean']:.3f}" for metric in columns]
        one = report.versus.get(name, {}).get("ndcg_10")
        told = f"{one['ratio'] or 0:.2f} x ({one['low']:+.3f} to {one['high']:+.3f})" if one else ""
        found.add_row(name.replace("_", " "), *means, told)
    out.print(found)
    union = report.recall["union"]
    out.print(f"candidates hold {union:.1%} of what people turned to; {report.trainings} trainings", markup=False)
    out.print(f"report: {report.report}", markup=False, soft_wrap=True)


def step(verb: str, report: Mapping[str, Any], out: Console) -> None:
    """The end of any other step: its report's plain figures, one a line."""
    for name, value in report.items():
        if isinstance(value, (str, int, float, bool)) or value is None:
            out.print(f"{name}: {value}", markup=False, soft_wrap=True)
        elif isinstance(value, Mapping) and value:
            out.print(f"{name}: " + ", ".join(f"{k} {v}" for k, v in value.items()), markup=False, soft_wrap=True)
        elif isinstance(value, (list, tuple)) and value:
            out.print(f"{name}: {len(value)}", markup=False)
