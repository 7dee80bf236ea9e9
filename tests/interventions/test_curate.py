from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from lightly.data import LightlyDataset
from PIL import Image

from lightly_memloc import load_result
from lightly_memloc.errors import MemorizationError
from lightly_memloc.estimation import combine_runs
from lightly_memloc.interventions import curate, write_filename_lists
from lightly_memloc.results import CurationResult
from tests.estimation.measured import from_distances

ROLES = ["candidate"] * 20 + ["independent"] * 10 + ["external"] * 9


def measured(reference=True, roles=ROLES, seed=0):
    rng = np.random.default_rng(seed)
    f, g = rng.uniform(0.5, 1, (2, len(roles), 2))
    images = pd.DataFrame(
        {
            "index": 2 * np.arange(len(roles)),
            "filename": [f"{i}.png" for i in range(len(roles))],
            "role": roles,
        }
    )
    settings = {
        "seed": 0,
        "normalization": "relative",
        "top_k": 5,
        "reference": reference,
        "skipped": [],
    }
    layers = [("one", "conv"), ("two", "conv")]
    result = from_distances(
        layers, images, f, g if reference else None, settings, n_resamples=19
    )
    return result, ((g - f) / (g + f))[:, 1]


@pytest.mark.parametrize(
    ("amount", "number"), [(6, 6), (0.25, 5), (0.001, 1), (20, 20)]
)
def test_the_most_memorised_candidates_come_first(tmp_path, amount, number):
    result, m = measured()
    curation = curate(result, amount)
    table = curation.to_pandas()
    expected = sorted(range(20), key=lambda i: -m[i])[:number]
    assert table["index"].tolist() == [2 * i for i in expected]
    assert table["filename"].tolist() == [f"{i}.png" for i in expected]
    assert table["ssl_mem"].tolist() == pytest.approx([m[i] for i in expected])
    assert set(table["role"]) == {"candidate"}
    # Of nine images that nobody was trained on, how many score as high.
    by_hand = [(1 + sum(m[e] >= m[i] for e in range(30, 39))) / 10 for i in expected]
    assert table["p"].tolist() == pytest.approx(by_hand)
    assert (curation.settings["scored"], curation.settings["number"]) == (20, number)
    assert curation.settings["layer"] == "two"
    assert not curation.is_retrained
    assert curation.scalars() == {}
    curation.save(tmp_path)
    pd.testing.assert_frame_equal(load_result(tmp_path).to_pandas(), table)
    listed = pd.read_csv(tmp_path / "samples.csv")
    assert listed["filename"].tolist() == table["filename"].tolist()


def test_without_external_images_there_is_no_p_value():
    table = curate(measured(roles=ROLES[:30])[0], 3).to_pandas()
    assert len(table) == 3
    assert table["p"].isna().all()


def test_images_of_several_runs_are_ranked_by_their_mean_over_runs():
    runs = {}
    for run in range(4):
        roles = ["candidate", "independent"] * 15 + ["external"] * 9
        runs[f"run-{run}"] = measured(
            roles=np.roll(roles[:30], run).tolist() + roles[30:], seed=run
        )[0]
    result = combine_runs(runs, {}, seed=0)
    table = curate(result, 4).to_pandas()
    samples = result.samples_to_pandas()
    last = samples[samples["layer"] == "two"].set_index("index")
    expected = last["ssl_mem"].sort_values(ascending=False).index[:4]
    assert table["index"].tolist() == expected.tolist()
    assert table["p"].tolist() == last["ssl_mem_p"][expected].tolist()
    assert table["runs"].tolist() == [4] * 4
    assert set(table["role"]) == {"candidate or independent"}


@pytest.mark.parametrize("amount", [0, -1, 20.5, 21, float("nan"), float("inf")])
def test_amounts_that_do_not_fit_are_refused(amount):
    with pytest.raises(MemorizationError, match="of the 20 scored images"):
        curate(measured()[0], amount)


def test_scores_need_a_reference_encoder():
    with pytest.raises(MemorizationError, match="needs a reference encoder"):
        curate(measured(reference=False)[0], 3)


def test_lightly_reads_the_images_to_keep(tmp_path):
    for index in range(6):
        path = tmp_path / "images" / f"class{index % 2}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), index, dtype=np.uint8)).save(path)
    dataset = LightlyDataset(str(tmp_path / "images"))
    result, _ = measured()
    result.tables["samples"]["index"] = np.arange(len(ROLES)) % 6
    names = dataset.get_filenames()
    result.tables["samples"]["filename"] = [names[i % 6] for i in range(len(ROLES))]
    curation = curate(result, 2)
    write_filename_lists(curation, dataset, tmp_path / "lists")
    left_out = (tmp_path / "lists" / "memorized.txt").read_text().splitlines()
    kept = (tmp_path / "lists" / "kept.txt").read_text().splitlines()
    assert left_out == curation.to_pandas()["filename"].tolist()
    assert sorted({*kept, *left_out}) == names
    assert not set(kept) & set(left_out)
    again = LightlyDataset(str(tmp_path / "images"), filenames=kept)
    assert again.get_filenames() == kept


def test_names_that_break_a_list_are_refused(tmp_path):
    result, _ = measured()
    result.tables["samples"]["filename"] = "two\nlines.png"
    with pytest.raises(MemorizationError, match="contains a line break"):
        write_filename_lists(curate(result, 2), range(80), tmp_path)


def test_names_that_are_no_unicode_are_written_as_they_are(tmp_path):
    result, _ = measured()
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    result.tables["samples"]["filename"] = name
    write_filename_lists(curate(result, 2), range(80), tmp_path)
    assert (tmp_path / "memorized.txt").read_bytes() == b"caf\xe9.png\n" * 2


def test_saving_again_leaves_nothing_of_what_was_there(tmp_path):
    curation = curate(measured()[0], 2)
    more = CurationResult(
        curation.settings, curation.tables | {"accuracy": curation.to_pandas()}
    )
    more.save(tmp_path)
    (tmp_path / "mine.csv").write_text("kept")
    assert (tmp_path / "accuracy.csv").is_file()
    curation.save(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"result.json", "samples.csv", "mine.csv"}


def of_scores(scores, roles):
    """A result with given SSLMem: distances 1 - m and 1 + m."""
    m = np.array(scores)[:, None]
    images = pd.DataFrame(
        {
            "index": range(len(roles)),
            "filename": [f"{i}.png" for i in range(len(roles))],
            "role": roles,
        }
    )
    settings = {"seed": 0, "normalization": "relative", "top_k": 5, "skipped": []}
    return from_distances(
        [("one", "conv")], images, 1 - m, 1 + m, settings, n_resamples=19
    )


def test_external_images_of_the_same_score_count_as_high():
    roles = ["candidate"] * 2 + ["external"] * 4
    result = of_scores([0.5, 0.25, 0.5, 0.25, 0.25, 0.125], roles)
    # One of four is as high as the first, three are as high as the second.
    assert curate(result, amount=2).to_pandas()["p"].tolist() == [2 / 5, 4 / 5]


def test_images_up_to_the_false_discovery_rate_are_listed_by_default():
    """Of 50 candidates, 8 score above all of 99 external images."""
    scores = np.r_[np.linspace(0.9, 0.8, 8), np.full(42, 0.1), np.linspace(0, 0.3, 99)]
    result = of_scores(scores, ["candidate"] * 50 + ["external"] * 99)
    curation = curate(result)
    table = curation.to_pandas()
    assert table["index"].tolist() == list(range(8))
    assert table["p"].tolist() == [0.01] * 8
    # 50 images have p up to 0.01 by chance in 0.5 cases, 8 were found.
    assert table["q"].tolist() == pytest.approx([0.01 * 50 / 8] * 8)
    settings = curation.settings
    assert (settings["fdr"], settings["number"], settings["scored"]) == (0.1, 8, 50)
    assert settings["by_chance"] == pytest.approx(0.8)
    assert settings["n_external"] == 99
    assert len(curate(result, fdr=0.05).to_pandas()) == 0
    assert len(curate(result, fdr=0.9).to_pandas()) == 50


def test_how_many_images_score_as_high_by_chance():
    scores = [0.5, 0.25, 0.2, 0.1, 0.3, 0.25, 0.15, 0.0]
    result = of_scores(scores, ["candidate"] * 4 + ["external"] * 4)
    # Two of four external images are as high as the second: p = 3/5, of 4 candidates.
    assert curate(result, 2).settings["by_chance"] == 2
    assert curate(result, 1).settings["by_chance"] == pytest.approx(4 * 1 / 5)
    assert "fdr" not in curate(result, 1).settings


def test_groups_of_external_images_count_once():
    scores = [0.5, 0.25, 0.5, 0.25, 0.25, 0.125]
    result = of_scores(scores, ["candidate"] * 2 + ["external"] * 4)
    samples = result.samples_to_pandas()
    samples.insert(3, "group", ["a", "b", "c", "c", "d", "d"])
    grouped = replace(result, tables={**result.tables, "samples": samples})
    curation = curate(grouped, 2)
    # Half of group c is as high as the first image; group c and half of d as the second.
    assert curation.to_pandas()["p"].tolist() == pytest.approx([1.5 / 3, 2.5 / 3])
    assert curation.settings["n_external"] == 2


def test_an_empty_list_is_a_result(tmp_path):
    images = np.linspace(0, 0.3, 60)
    result = of_scores(np.r_[images, images], ["candidate"] * 60 + ["external"] * 60)
    curation = curate(result)
    assert len(curation.to_pandas()) == 0
    assert (curation.settings["number"], curation.settings["by_chance"]) == (0, 0.0)
    write_filename_lists(curation, range(120), tmp_path / "lists")
    assert (tmp_path / "lists" / "memorized.txt").read_text() == ""
    kept = (tmp_path / "lists" / "kept.txt").read_text().splitlines()
    assert len(kept) == 120
    curation.save(tmp_path)
    loaded = load_result(tmp_path)
    assert loaded.to_pandas().columns.tolist() == curation.to_pandas().columns.tolist()
    assert len(loaded.to_pandas()) == 0


def test_amount_and_rate_exclude_each_other():
    with pytest.raises(MemorizationError, match=r"got both \(3 and 0.1\)"):
        curate(measured()[0], 3, fdr=0.1)


@pytest.mark.parametrize("fdr", [0.0, -0.1, 1.0, float("nan")])
def test_rates_out_of_range_are_refused(fdr):
    with pytest.raises(MemorizationError, match="between 0 and 1, got"):
        curate(measured()[0], fdr=fdr)


def test_a_list_by_rate_needs_p_values():
    with pytest.raises(MemorizationError, match="need external images"):
        curate(measured(roles=ROLES[:30])[0])
    assert curate(measured(roles=ROLES[:30])[0], 3).settings["by_chance"] is None
    two = combine_runs({str(seed): measured(seed=seed)[0] for seed in (0, 1)}, {}, 0)
    with pytest.raises(MemorizationError, match="need at least three runs"):
        curate(two)
    assert curate(two, 3).settings["number"] == 3


def over_runs(n_runs, n_memorised):
    """SSLMem over runs on 60 images, of which the first few are memorised."""
    rng, runs = np.random.default_rng(0), {}
    for run in range(n_runs):
        roles = rng.permutation(["candidate", "independent"] * 30)
        m = rng.normal(0, 0.05, 60)
        m[:n_memorised] += np.where(roles[:n_memorised] == "candidate", 0.4, -0.4)
        runs[f"run-{run}"] = of_scores(m, roles)
    return combine_runs(runs, {}, seed=0)


def test_runs_list_the_images_that_all_of_them_memorise():
    result = over_runs(6, 5)
    curation = curate(result)
    table = curation.to_pandas()
    assert sorted(table["index"]) == [0, 1, 2, 3, 4]
    samples = result.samples_to_pandas().set_index("index").loc[table["index"]]
    for name, column in (("p", "ssl_mem_p"), ("q", "ssl_mem_q")):
        assert table[name].tolist() == samples[column].tolist()
    assert table["ssl_mem_shrunk"].tolist() == samples["ssl_mem_shrunk"].tolist()
    assert curation.settings["by_chance"] == pytest.approx(0.5)
    assert curation.settings["n_runs"] == 6
    six = curate(result, 6)
    by_score = result.samples_to_pandas().nlargest(6, "ssl_mem")
    assert by_score["by_chance"].iloc[-1] < 6
    assert six.settings["by_chance"] == by_score["by_chance"].iloc[-1]


def test_results_of_runs_of_the_first_version_are_listed_by_their_p_values():
    """They have two-sided p-values and neither q nor shrunk scores."""
    result = over_runs(6, 5)
    samples = result.samples_to_pandas()
    added = ["ssl_mem_q", "ssl_mem_shrunk", "by_chance"]
    two_sided = np.full(60, 0.5)
    two_sided[:5] = 0.002
    samples["ssl_mem"] = np.where(np.arange(60) == 4, -0.3, samples["ssl_mem"])
    old = samples.drop(columns=added).assign(ssl_mem_p=two_sided)
    first = replace(result, tables={**result.tables, "samples": old})
    curation = curate(first)
    # The fifth image is low, not high.
    assert sorted(curation.to_pandas()["index"]) == [0, 1, 2, 3]
    assert curation.to_pandas()["p"].tolist() == [0.001] * 4
    assert curate(first, 3).settings["by_chance"] is None
