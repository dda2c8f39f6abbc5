"""The main job, as `make run` does it: from raw exports to published rankings, held against the truth."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient

from pipeline import manifest, snapshot
from pipeline.simulation.truth import expected_engagement
from tests import worlds
from tests.company import Company
from tests.worlds import World

K = 20
PER_CATEGORY = 5
WEIGHTS = {"p_click": 0.2, "p_read": 0.5, "p_purchase": 1.0}


@pytest.fixture(name="people", scope="module")
def _people(default_night: World) -> pd.DataFrame:
    return pd.read_parquet(default_night.rankings / "current" / "people")


@pytest.fixture(name="company", scope="module")
def _company(default_night: World) -> Company:
    return Company(default_night.exports, date(2026, 6, 30))


# ---------------------------------------------------------------- the lists


def test_current_names_one_whole_snapshot(default_night: World) -> None:
    """CURRENT resolves to a snapshot for the night whose every file is as its manifest says."""
    current = snapshot.resolve(default_night.rankings)
    assert manifest.instant(current.name) == "2026-07-01T000000Z"
    assert snapshot.verify(current) == []


def test_ranks_have_no_gap(people: pd.DataFrame) -> None:
    """Everybody has 20 different contents, ranked 1 to 20, with scores that never rise."""
    for _, rows in people.sort_values("rank").groupby(["person_id", "id_type"]):
        assert rows["rank"].tolist() == list(range(1, K + 1))
        assert rows["content_id"].is_unique
        assert rows["score"].is_monotonic_decreasing


def test_every_visitor_and_consenting_customer_has_a_list(people: pd.DataFrame, company: Company) -> None:
    """Whoever was ever there, under the CRM id where a log-in tells it; customers only if they agreed."""
    customers = {row["Record ID"] for row in company.contacts}
    assert customers - company.agreed - company.opted_out, "a world in which nobody is silent tests nothing"
    allowed = {
        (person_id, id_type)
        for person_id, id_type in company.present
        if id_type == "visitor" or person_id in company.agreed
    }
    assert set(people[["person_id", "id_type"]].itertuples(index=False, name=None)) == allowed


def test_nobody_who_opted_out_is_listed(people: pd.DataFrame, company: Company) -> None:
    """Neither the CRM id of a person who objected nor any cookie with which that person ever logged in is published."""
    cookies = company.cookies_of(company.opted_out)
    assert cookies
    assert not set(people["person_id"]) & (company.opted_out | cookies)


def test_only_what_may_be_shown_is_listed(people: pd.DataFrame, company: Company) -> None:
    """No draft, nothing expired, nothing the person knows already, at most five of a category."""
    listed = people.groupby(["person_id", "id_type"])["content_id"]
    for person, contents in listed:
        assert set(contents) <= set(company.categories)
        assert not set(contents) & company.engaged[person]
        assert contents.map(company.categories).value_counts().max() <= PER_CATEGORY


# ---------------------------------------------------------------- against the truth


def test_the_truth_was_out_of_reach(default_night: World) -> None:
    """The night was run without the truth about the world, which lay elsewhere: no step can have read it."""
    folders = {path.name for path in default_night.exports.iterdir() if path.is_dir()}
    assert folders == {"ga4", "hubspot", "shopify", "wordpress"}
    assert default_night.truth.is_dir()


def test_lists_beat_most_popular(default_night: World, people: pd.DataFrame, company: Company) -> None:
    """What the lists would really bring is at least 1.5 times what most-popular's would, under the same rules."""
    ours = pa.Table.from_pandas(people[["person_id", "id_type", "rank", "content_id"]], preserve_index=False)
    everybody = set(people[["person_id", "id_type"]].itertuples(index=False, name=None))
    theirs = company.most_popular(everybody, K, PER_CATEGORY)
    gained, popular = (expected_engagement(default_night.truth, lists, WEIGHTS) for lists in (ours, theirs))
    assert gained >= 1.5 * popular > 0


@pytest.mark.parametrize("goal", ["click", "read"])
def test_probabilities_are_about_true(default_night: World, people: pd.DataFrame, goal: str) -> None:
    """Over a fifth of all listed pairs, likely or not, a probability is within a factor of two of the true one."""
    with duckdb.connect() as db:
        db.register("people", people)
        query = _FIFTHS.format(goal=goal, truth=default_night.truth)
        fifths = db.execute(query).fetchall()
    assert len(fifths) == 5
    assert [really for _, really in fifths] == sorted(really for _, really in fifths)
    assert all(0.5 < said / really < 2 for said, really in fifths), fifths
    overall = sum(said for said, _ in fifths) / sum(really for _, really in fifths)
    assert 0.67 < overall < 1.5


_FIFTHS = """
WITH who AS (
    SELECT person, customer_id AS person_id FROM read_parquet('{truth}/people.parquet') WHERE customer_id IS NOT NULL
    UNION ALL SELECT person, unnest(visitor_ids) FROM read_parquet('{truth}/people.parquet')
), pairs AS (
    SELECT people.p_{goal} AS said, e.p_{goal} AS really, ntile(5) OVER (ORDER BY people.p_{goal}) AS fifth
    FROM people JOIN who USING (person_id) JOIN read_parquet('{truth}/engagement.parquet') e USING (person, content_id)
)
SELECT avg(said), avg(really) FROM pairs GROUP BY fifth ORDER BY fifth
"""


# ---------------------------------------------------------------- what is recorded


@pytest.fixture(name="mlflow", scope="module")
def _mlflow(default_night: World) -> MlflowClient:
    return MlflowClient(f"sqlite:///{default_night.folder / 'state' / 'mlflow' / 'mlflow.db'}")


def test_the_champion_is_registered(mlflow: MlflowClient, people: pd.DataFrame) -> None:
    """The alias `champion` names a version, and that version is the one that made every row."""
    champion = mlflow.get_model_version_by_alias("example-ranker", "champion")
    assert set(people["model_version"]) == {str(champion.version)}
    assert mlflow.get_run(str(champion.run_id)).info.status == "FINISHED"


def test_every_trial_is_below_its_training(mlflow: MlflowClient, default_night: World) -> None:
    """Each trial that was made is a run whose parent is the training."""
    champion = mlflow.get_model_version_by_alias("example-ranker", "champion")
    experiment = mlflow.get_run(str(champion.run_id)).info.experiment_id
    trials = mlflow.search_runs([experiment], f"tags.mlflow.parentRunId = '{champion.run_id}'")
    assert len(trials) == default_night.report["train"]["trials"] > 0


def test_the_decision_is_recorded(default_night: World) -> None:
    """`decision.json` says in words that there was no champion yet and a model was therefore trained."""
    (found,) = (default_night.folder / "state" / "mlflow").rglob("decision.json")
    decision = json.loads(found.read_text(encoding="utf-8"))
    assert decision["retrain"] is True
    assert decision["verdict"] == "Train a challenger: there is no champion yet."


def test_data_docs_are_there(default_night: World) -> None:
    """The index of the Data Docs that the run names exists and leads to a page for every table's suite."""
    index = Path(default_night.report["finish"]["data_docs"])
    text = index.read_text(encoding="utf-8")
    assert all(suite in text for suite in ("events", "customers", "transactions", "content"))


def test_models_are_ubj_and_nothing_is_pickled(default_night: World) -> None:
    """Each goal's model is a UBJ file, and no file that the run wrote is a pickle by its name or by its first bytes."""
    written = list(files_of(default_night))
    assert {path.name for path in written if path.suffix == ".ubj"} >= {"click.ubj", "read.ubj"}
    assert [path for path in written if path.suffix in {".pkl", ".pickle", ".joblib"}] == []
    assert [path for path in written if path.read_bytes()[:2] in PICKLES] == []


PICKLES = {bytes([0x80, protocol]) for protocol in (2, 3, 4, 5)}


def files_of(world: World) -> Iterator[Path]:
    """Every file of the lake, of the state and of what is published."""
    for folder in ("lake", "state", "published"):
        yield from (path for path in (world.folder / folder).rglob("*") if path.is_file() and not path.is_symlink())


# ---------------------------------------------------------------- privacy


def test_no_address_and_no_name_leaves_the_exports(default_night: World, company: Company) -> None:
    """No e-mail address, full name or telephone number of the CRM is in any file that the run wrote, vault included."""
    secrets = [secret.encode() for secret in company.secrets]
    for path in files_of(default_night):
        found = texts_of(path) if path.suffix == ".parquet" else path.read_bytes()
        assert [secret for secret in secrets if secret in found] == [], path


def texts_of(path: Path) -> bytes:
    """All different texts in a Parquet file, nested ones too."""
    table = pq.read_table(path)
    return b"\n".join(text.encode() for column in table.columns for text in texts(column.combine_chunks()))


def texts(column: pa.Array) -> Iterator[str]:
    """The different texts of an array."""
    if pa.types.is_string(column.type):
        yield from pc.unique(column).drop_null().to_pylist()
    elif pa.types.is_struct(column.type):
        for field in column.flatten():
            yield from texts(field)
    elif pa.types.is_map(column.type):
        yield from texts(column.keys)
        yield from texts(column.items)
    elif pa.types.is_list(column.type):
        yield from texts(column.flatten())


def test_native_ids_stay_in_the_vault(default_night: World, company: Company) -> None:
    """No CRM id and no cookie is in the lake outside the vault, which only its owner may enter."""
    ids = {row["Record ID"].encode() for row in company.contacts} | {person.encode() for person, _ in company.present}
    lake = default_night.folder / "lake"
    assert stat.S_IMODE((lake / "vault").stat().st_mode) == 0o700
    for path in lake.rglob("*.parquet"):
        if "vault" not in path.parts:
            assert not set(texts_of(path).split(b"\n")) & ids, path


# ---------------------------------------------------------------- the command line


def test_the_answer_is_one_json_object(default_night: World) -> None:
    """`--json` writes one object on one line of standard output and nothing else, whatever libraries print."""
    assert default_night.answer.count("\n") == 1
    assert default_night.answer.endswith("\n")
    assert default_night.report["publish"]["name"] == snapshot.resolve(default_night.rankings).name


def test_show_prints_the_list(default_night: World, people: pd.DataFrame) -> None:
    """`shortlist show PERSON` prints what is published for that person, by rank."""
    person = people["person_id"].iloc[-1]
    answer = json.loads(worlds.answered(default_night.folder, "show", person, "--json"))
    published = people[people["person_id"] == person].sort_values("rank")
    assert [row["content_id"] for row in answer["rows"]] == published["content_id"].tolist()
