"""What an analyst finds in MLflow after a whole night: page, card, signature, tables, and the words of real rows."""

from __future__ import annotations

import csv
import json
import re
from html import unescape
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.models import Model

from pipeline.records import Tracker
from tests.pipeline.test_reports import Reader
from tests.worlds import World

RIVALS = ("model", "logistic regression", "mlp", "rank ndcg", "most popular")


@pytest.fixture(name="tracker", scope="module")
def _tracker(default_night: World) -> Tracker:
    return Tracker(default_night.folder / "state" / "mlflow", "example")


@pytest.fixture(name="mlflow", scope="module")
def _mlflow(tracker: Tracker) -> MlflowClient:
    return MlflowClient(tracking_uri=tracker.uri, registry_uri=tracker.uri)


@pytest.fixture(name="run", scope="module")
def _run(mlflow: MlflowClient) -> str:
    return str(mlflow.get_model_version_by_alias("example-ranker", "champion").run_id)


@pytest.fixture(name="files", scope="module")
def _files(tracker: Tracker, run: str) -> Path:
    return tracker.artifacts(run)


def test_the_page_has_every_part(files: Path) -> None:
    """Decision, figures with intervals, three rows, effects, groups and trials; whole, and fetching nothing."""
    page = (files / "index.html").read_text(encoding="utf-8")
    reader = Reader(page)
    assert reader.open == []
    assert "//" not in re.sub(r"http://www\.w3\.org/2000/svg", "", page)
    titles = re.findall("<h2>([^<]+)</h2>", page)
    assert titles == [
        "Decision", "Lists", "Goals", "Weights that would rank better", "Three rows in words", "What moves the odds",
        "Groups of people", "Shape", "Search", "What the trees split on", "Left out",
    ]  # fmt: skip
    rows = [row for row in reader.rows if row[0] in RIVALS and len(row) == 6]
    assert [row[0] for row in rows[: len(RIVALS)]] == list(RIVALS)
    for row in rows:
        auc, *_, log_loss, _, _ = row[1:]
        assert re.fullmatch(r"0\.\d{3}0\.\d{3} . 0\.\d{3}", auc), f"AUC of {row[0]} with its interval"
        assert len(log_loss) == (1 if row[0] in ("rank ndcg", "most popular") else 21), "only of a probability"


def test_the_rows_in_words_name_real_contents(files: Path, default_night: World) -> None:
    """Each card's title and id are one content of the catalogue, and no card names a person."""
    page = (files / "index.html").read_text(encoding="utf-8")
    posts = json.loads(max((default_night.exports / "wordpress").iterdir()).read_text(encoding="utf-8"))
    titles = {str(post["id"]): unescape(post["title"]["rendered"]) for post in posts}
    cards = re.findall("<article>.*?</article>", page)
    assert 2 <= len(cards) <= 3
    for card in cards:
        found = re.search("<h3>(.*) <code>(.*)</code></h3>", card)
        assert found is not None
        assert titles[found[2]] == unescape(found[1])
        assert re.search(r"Person</dt><dd>(new|light|heavy)(, (desktop|mobile))?</dd>", card)
        assert card.count("<li") == 5


def test_tables_for_analysts(files: Path) -> None:
    """Groups and effects as CSV: groups of at least 11 people, of every kind that this company knows."""
    with (files / "tables" / "groups_click.csv").open(encoding="utf-8", newline="") as file:
        groups = list(csv.DictReader(file))
    assert {"activity", "device", "country", "CRM: country"} <= {row["kind"] for row in groups}
    assert min(int(row["people"]) for row in groups) >= 11
    assert all(0 <= float(row["auc_low"]) <= float(row["auc"]) <= float(row["auc_high"]) <= 1 for row in groups)
    with (files / "tables" / "effects_click.csv").open(encoding="utf-8", newline="") as file:
        sizes = [float(row["mean_absolute_log_odds"]) for row in csv.DictReader(file)]
    assert len(sizes) == 12
    assert sizes == sorted(sizes, reverse=True)


def test_weights_are_suggested_and_not_used(mlflow: MlflowClient, run: str, files: Path) -> None:
    """By every measure what today's do, which is what the lists did; and what others did, told where sure."""
    found = mlflow.get_run(run).data
    with (files / "tables" / "goal_weights.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["measure"]: row for row in csv.DictReader(file)}
    assert {"ndcg_10", "ndcg_10.click", "ndcg_10.read", "value_10"} <= set(rows)
    assert float(rows["ndcg_10"]["today"]) == pytest.approx(found.metrics["ndcg_10"])
    bundle = json.loads((files / "model" / "bundle.json").read_text(encoding="utf-8"))
    today = {goal: one["weight"] for goal, one in bundle["goals"].items()}
    assert today == {goal: {"click": 0.2, "read": 0.5, "purchase": 1.0}[goal] for goal in today}
    for measure, row in rows.items():
        tag = found.tags[f"suggested_weights.{measure}"]
        assert (tag == "none") == (float(row["difference_low"]) <= 0) == (row["suggested"] == "false")
        assert found.metrics[f"weights.{measure}.tried"] == pytest.approx(float(row["tried"]))
        assert sum(float(row[f"weight_{goal}"]) for goal in today) == pytest.approx(sum(today.values()), rel=0.01)


def test_page_and_card_say_what_serves(files: Path, mlflow: MlflowClient, run: str) -> None:
    """What was judged is not what makes lists: that is the same recipe on all nights up to the newest."""
    said = "once promoted, were grown anew with the same recipe on all nights up to 2026-06-30."
    assert said in (files / "index.html").read_text(encoding="utf-8")
    assert said in mlflow.get_run(run).data.tags["mlflow.note.content"]


def test_card_signature_and_data_sets(mlflow: MlflowClient, run: str, files: Path) -> None:
    """The card begins with the verdict, which is the version's description; features go in, probabilities come out."""
    found = mlflow.get_run(run)
    version = mlflow.get_model_version_by_alias("example-ranker", "champion")
    card = found.data.tags["mlflow.note.content"]
    assert version.description == found.data.tags["verdict"]
    assert card.startswith(f"**{version.description}**")
    assert "### Rolling back" in card
    bundle = json.loads((files / "model" / "bundle.json").read_text(encoding="utf-8"))
    signature = Model.load(str(files / "model")).signature
    assert signature is not None
    assert signature.inputs.input_names() == bundle["goals"]["click"]["features"]
    assert signature.outputs.input_names() == [f"p_{goal}" for goal in bundle["goals"]]
    assert {used.dataset.name for used in found.inputs.dataset_inputs} >= {"events", "content", "customers"}
