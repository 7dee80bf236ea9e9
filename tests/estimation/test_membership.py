import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from lightly_memloc import load_result
from lightly_memloc.errors import MemorizationError
from lightly_memloc.estimation import infer_membership
from lightly_memloc.functional import membership
from tests.estimation.measured import from_distances

ROLES = ["candidate"] * 30 + ["external"] * 40 + ["independent"] * 20


def measured(with_reference, roles=ROLES, groups=None, strata=None):
    rng = np.random.default_rng(0)
    is_member = np.array(roles) == "candidate"
    f = rng.uniform(0.5, 1, (len(roles), 2)) - 0.2 * is_member[:, None] * [0, 1]
    g = rng.uniform(0.5, 1, (len(roles), 2))
    images = pd.DataFrame(
        {
            "index": range(len(roles)),
            "filename": [f"{i}.png" for i in range(len(roles))],
            "role": roles,
        }
    )
    if groups is not None:
        images["group"], images["stratum"] = groups, strata
    settings = {
        "seed": 0 if groups is None else 3,
        "n_resamples": 2000 if groups is None else 39,
        "normalization": "relative",
        "top_k": 5,
        "reference": with_reference,
        "skipped": [],
    }
    layers = [("one", "conv"), ("two", "conv")]
    result = from_distances(
        layers, images, f, g if with_reference else None, settings, n_resamples=19
    )
    return result, f, g


def test_both_scores_of_each_layer(tmp_path):
    result, f, g = measured(True)
    found = infer_membership(result)
    table = found.to_pandas()
    assert table["score"].tolist() == ["alignment"] * 2 + ["ssl_mem"] * 2
    assert table["layer"].tolist() == ["one", "two"] * 2
    labels = [1] * 30 + [0] * 40
    for column in range(2):
        alone = roc_auc_score(labels, -f[:70, column])
        against = roc_auc_score(labels, ((g - f) / (g + f))[:70, column])
        assert table["auc"][column] == pytest.approx(alone)
        assert table["auc"][2 + column] == pytest.approx(against)
    assert table["auc"][1] > 0.7 > table["auc"][0]
    assert found.scalars()["alignment_auc/two"] == table["auc"][1]
    found.save(tmp_path)
    assert load_result(tmp_path).to_pandas().equals(table)


def test_each_score_is_tested_against_external_images():
    result, f, g = measured(True, [*ROLES, *["external"] * 60])
    table = infer_membership(result).to_pandas()
    external = [*range(30, 70), *range(90, 150)]
    scores = np.concatenate([-f, (g - f) / (g + f)], axis=1)
    expected = membership(scores[:30], scores[external])
    columns = expected.auc.columns("auc") | expected.tpr.columns("tpr")
    assert len(columns) == 10
    for name, column in columns.items():
        assert table[name].tolist() == pytest.approx(column)
    for first in (0, 2):
        alone = membership(
            scores[:30, first : first + 2], scores[external, first : first + 2]
        )
        of_score = table.iloc[first : first + 2]
        assert of_score["auc_p"].tolist() == pytest.approx(alone.auc.p)
        assert (of_score["auc_p_adjusted"] >= alone.auc.p_adjusted).all()


@pytest.mark.parametrize("n", [98, 99])
def test_rate_is_given_from_99_external_images_on(n, tmp_path):
    result, *_ = measured(True, ["candidate"] * 30 + ["external"] * n)
    found = infer_membership(result)
    table, notes = found.to_pandas(), found.settings["notes"]
    assert table[["auc", "auc_low", "auc_high", "auc_p"]].notna().all(axis=None)
    for column in ("tpr", "tpr_low", "tpr_high", "tpr_p"):
        assert table[column].notna().tolist() == [n == 99] * 4
    if n == 98:
        (note,) = notes
        assert "at least 99 external images, but there are 98" in note
    else:
        assert notes == []
    found.save(tmp_path)
    assert load_result(tmp_path).to_pandas().equals(table)


def test_one_encoder_has_its_alignment_alone():
    table = infer_membership(measured(False)[0]).to_pandas()
    assert table["score"].tolist() == ["alignment"] * 2


@pytest.mark.parametrize("n", [98, 99])
def test_groups_and_strata_of_the_images(n):
    """Every group is a pair of images; strata alternate."""
    roles = np.repeat(["candidate"] * 15 + ["external"] * n, 2)
    order = np.random.default_rng(1).permutation(len(roles))
    groups = np.char.add("g", (np.arange(len(roles)) // 2).astype(str))[order]
    strata = (np.arange(len(roles)) // 2 % 2)[order]
    result, f, _ = measured(False, roles[order].tolist(), groups, strata)
    found = infer_membership(result)
    table = found.to_pandas()
    rows = [np.flatnonzero(roles[order] == of) for of in ("candidate", "external")]
    both = np.concatenate(rows)
    expected = membership(
        -f[rows[0]],
        -f[rows[1]],
        0.01 if n == 99 else None,
        n_resamples=39,
        seed=3,
        groups=groups[both],
        strata=strata[both],
    )
    for name, estimate in zip(("auc", "tpr"), expected, strict=True):
        for column, values in estimate.columns(name).items():
            np.testing.assert_allclose(table[column], values)
    if n == 98:
        (note,) = found.settings["notes"]
        assert "at least 99 groups of external images, but there are 98" in note


@pytest.mark.parametrize("n", [0, 1])
def test_external_images_are_needed(n):
    roles = ["candidate"] * 5 + ["independent"] * 5 + ["external"] * n
    result, *_ = measured(True, roles)
    with pytest.raises(MemorizationError, match=rf"external images.* has {n}"):
        infer_membership(result)


def test_settings_count_the_images_of_each_role():
    found = infer_membership(measured(True)[0])
    assert found.settings["images"] == {"candidate": 30, "external": 40}
    assert found.settings["false_positives"] == 0.01


def test_one_external_image_is_too_few():
    result, *_ = measured(True, ["candidate"] * 5 + ["external"])
    with pytest.raises(MemorizationError, match=r"external images.* has 1"):
        infer_membership(result)
