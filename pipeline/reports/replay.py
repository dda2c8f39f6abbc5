"""The page of a replay: what the lists would have earned, beside every simple rival."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipeline.reports.charts import Line, figure, interval_chart, line_chart
from pipeline.reports.page import DASH, bar, facts, number, page, row, section, table

if TYPE_CHECKING:
    from pipeline.replay_summary import ReplayReport

OURS, PRIMARY = "shortlist", "ndcg_10"
_METRICS = {
    "ndcg_10": "NDCG@10",
    "recall_10": "Recall@10",
    "mrr_10": "MRR@10",
    "hit_rate_10": "Hit rate",
    "coverage": "Coverage",
    "novelty": "Novelty",
    "diversity": "Diversity",
    "new_share": "New",
}


def replay_page(report: ReplayReport, project: str) -> str:
    """A whole HTML document."""
    rivals = sorted(report.versus, key=lambda name: -report.methods[name][PRIMARY]["mean"])
    return page(
        f"{project}: replay",
        f"{project} \N{MIDDLE DOT} replay of {report.first[:10]} to {report.last[:10]}",
        _headline(report, rivals[0]),
        [
            facts(_facts(report)),
            _ranking(report, rivals),
            _differences(report, rivals),
            _over_time(report, rivals[0]),
            _by_segment(report),
            _candidates(report),
            _calibration(report),
            _extremes(report, rivals[0]),
            _knobs(report),
        ],
        "Each night was rebuilt with what was known before it. Intervals are 95 %, by bootstrap over people.",
    )


def _headline(report: ReplayReport, best: str) -> str:
    one = report.versus[best][PRIMARY]
    ours, name = report.methods[OURS][PRIMARY]["mean"], _name(best)
    if one["low"] > 0:
        return f"NDCG@10 {ours:.3f}: {_times(one['ratio'])} the strongest simple ranking ({name}), and surely more."
    if one["high"] < 0:
        return f"NDCG@10 {ours:.3f}: worse than {name}, a simple ranking ({_times(one['ratio'])})."
    return f"NDCG@10 {ours:.3f}: not told apart from {name}, a simple ranking ({_times(one['ratio'])})."


def _facts(report: ReplayReport) -> Iterator[tuple[str, object]]:
    yield "Nights", report.nights
    yield "Person-nights graded", report.person_nights
    yield "Trainings", report.trainings
    reach = report.reach
    yield "New readings by known people", int(reach["readings"])
    yield "of them reachable", f"{reach['reachable'] / max(reach['readings'], 1):.0%}"
    yield "Seconds", round(report.seconds)


def _name(method: str) -> str:
    return method.replace("_", " ")


def _ranking(report: ReplayReport, rivals: list[str]) -> str:
    rows = [
        row([_name(name), *(_cell(report.methods[name][metric], metric) for metric in _METRICS)])
        for name in (OURS, *rivals)
    ]
    chart = interval_chart(
        [
            (_name(name), one["mean"], one["low"], one["high"])
            for name, one in ((name, report.methods[name][PRIMARY]) for name in (OURS, *rivals))
        ]
    )
    note = "One value a person and night on which something could have been found; the mean of them, and its interval."
    return section("What lists were worth", note, figure("NDCG@10", chart), table(["", *_METRICS.values()], rows))


def _times(ratio: float | None) -> str:
    """How many times a rival; nothing where that reached nothing."""
    return DASH if ratio is None else f"{ratio:.2f} x"


def _cell(one: Mapping[str, float], metric: str) -> str:
    interval = f"{number(one['low'])} to {number(one['high'])}" if metric != "coverage" else ""
    return f'{number(one["mean"])}<span class="interval">{interval}</span>'


def _differences(report: ReplayReport, rivals: list[str]) -> str:
    rows = []
    for name in rivals:
        cells = [_name(name)]
        for metric in ("ndcg_10", "recall_10", "hit_rate_10"):
            one = report.versus[name][metric]
            cells.append(
                f'{_times(one["ratio"])}<span class="interval">{one["difference"]:+.3f} '
                f"({one['low']:+.3f} to {one['high']:+.3f})</span>"
            )
        rows.append(row(cells))
    return section(
        "Against each rival",
        "Paired: the same people on the same nights.",
        table(["", "NDCG@10", "Recall@10", "Hit rate"], rows),
    )


def _over_time(report: ReplayReport, best: str) -> str:
    start = datetime.fromisoformat(report.first)
    x = [(datetime.fromisoformat(one["as_of"]) - start).total_seconds() / 86_400 for one in report.by_night]
    names = dict.fromkeys((OURS, best, "most_popular"))
    lines = [Line(_name(name), x, _smooth([one[name] for one in report.by_night])) for name in names]
    return section(
        "Night by night",
        "Mean of seven nights.",
        figure("NDCG@10", line_chart(lines, "days since the first night", zero=True, width=640)),
    )


def _smooth(values: list[float]) -> list[float]:
    return [sum(values[max(0, i - 6) : i + 1]) / len(values[max(0, i - 6) : i + 1]) for i in range(len(values))]


def _by_segment(report: ReplayReport) -> str:
    parts = []
    for kind, segments in report.segments.items():
        rows = [
            row(
                [
                    str(one["name"]),
                    f"{one['people']:,}",
                    f"{one['person_nights']:,}",
                    _cell(one["ours"], PRIMARY),
                    number(one["theirs"]),
                    f'{_times(one["ratio"])}<span class="interval">{one["low"]:+.3f} to {one["high"]:+.3f}</span>',
                ]
            )
            for one in segments
        ]
        if rows:
            rival = _name(segments[0]["rival"])
            parts.append(table([kind.capitalize(), "People", "Person-nights", "NDCG@10", rival, "Ratio"], rows))
    return section("By segment", "Groups of fewer than 11 people are left out.", *parts)


def _candidates(report: ReplayReport) -> str:
    rows = [
        row([name, number(share), bar(share, on=name == "union")], texts=1)
        for name, share in sorted(report.recall.items(), key=lambda pair: -pair[1])
    ]
    note = "Share of what people turned to that each source proposes: what no source proposes, no ranker finds."
    return section("Candidates", note, table(["Source", "Recall", ""], rows))


def _calibration(report: ReplayReport) -> str:
    one = report.calibration
    if not one["predicted"]:
        return ""
    line = Line("listed pairs", one["predicted"], one["observed"], dots=True)
    chart = line_chart([line], "expected", diagonal=True, zero=True)
    note = (
        f"Of what was listed to people who came: {number(one['expected'], 4)} a place was expected, "
        f"{number(one['reached'], 4)} reached."
    )
    return section(
        "Calibration",
        note,
        f'<div class="charts">{figure("reached, by what was expected", chart)}</div>',
    )


def _extremes(report: ReplayReport, best: str) -> str:
    ordered = sorted(report.by_night, key=lambda one: one[OURS])
    chosen = [*reversed(ordered[-3:]), *reversed(ordered[:3])] if len(ordered) > 6 else list(reversed(ordered))
    rows = [
        row(
            [
                one["as_of"][:16].replace("T", " "),
                f"{one['people']:,}",
                number(one[OURS]),
                number(one[best]),
                number(one["most_popular"]),
                number(one["found"] / max(one["wanted"], 1)),
            ]
        )
        for one in chosen
    ]
    columns = ["Night", "People", "NDCG@10", _name(best), "most popular", "among candidates"]
    return section("Best and worst nights", "", table(columns, rows))


def _knobs(report: ReplayReport) -> str:
    rows = [row([_name(name), _said(knobs)], texts=2) for name, knobs in report.knobs.items() if knobs]
    return section("Rivals' settings", "Chosen on the nights before the first.", table(["", "Settings"], rows, texts=2))


def _said(knobs: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in knobs.items())
