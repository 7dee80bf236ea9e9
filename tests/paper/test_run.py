import json
import re
import shutil
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import run
from claims import CLAIMS
from keep import keep
from page import render
from run import reproduce

from lightly_memloc.errors import MemorizationError

pytestmark = pytest.mark.slow


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def effects(out):
    table = pd.read_csv(out / "results" / "effects.csv")
    keys = ["claim", "effect", "estimator", "subject", "pair"]
    return table.set_index(keys)["value"].sort_index()


def saved(out, pair, training, *names):
    return pd.read_csv(out.joinpath(f"pair-{pair}", training, *names))


def test_each_claim_is_measured_in_each_pair_and_control(effects, tiny):
    assert np.isfinite(effects).all()
    for claim in CLAIMS:
        of = effects[claim.name]
        subjects = ("trained", *claim.controls)
        assert set(of.index.get_level_values("subject")) == set(subjects)
        estimators = set(of.index.get_level_values("estimator"))
        assert claim.decides in {None, *estimators}
        effects_of_subject = of.groupby("subject").size()
        assert (effects_of_subject % tiny.pairs == 0).all()
        assert effects_of_subject.nunique() == 1


@pytest.mark.parametrize(
    ("estimator", "column"),
    [("published", "layer_mem"), ("calibrated", "calibrated"), ("symmetric",) * 2],
)
def test_depth_is_the_last_layers_over_the_first(out, effects, estimator, column):
    values = saved(out, 2, "simclr", "layer-mem", "layers.csv")[column]
    assert len(values) == 9
    expected = values[6:].sum() / 3 - values[:3].sum() / 3
    found = effects["1a", "last third of layers over first", estimator, "trained", 2]
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_member_share_is_that_of_the_units_counted(out, effects):
    shares = []
    for name in ("unit-mem", "unit-mem-g"):
        units = saved(out, 1, "simclr", name, "top_images.csv")
        images = saved(out, 1, "simclr", name, "images.csv").set_index("index")
        first = units[(units["rank"] == 1) & (units["layer"] == "layer2.conv")]
        shares.append((images.loc[first["index"], "role"] == "member").mean())
    found = effects["1b", "layer2.conv", "member share", "trained", 1]
    assert found == pytest.approx(sum(shares) / 2 - 0.5)


def test_f_and_g_are_shown_the_same_images_with_roles_exchanged(out):
    roles = {}
    for name in ("unit-mem", "unit-mem-g"):
        images = saved(out, 2, "mae", name, "images.csv")
        roles[name] = images.set_index("index")["role"]
    split = saved(out, 2, "mae", "layer-mem", "samples.csv").set_index("index")["role"]
    for name, members in (("unit-mem", "candidate"), ("unit-mem-g", "independent")):
        of = split[roles[name].index]
        assert set(of) == {"candidate", "independent"}
        assert ((of == members) == (roles[name] == "member")).all()


def test_units_are_tied_to_images_where_unit_mem_is_larger(out, effects):
    def share(*folders):
        units = [
            saved(out, 1, *folders, name, "units.csv")
            for name in ("unit-mem", "class-mem")
        ]
        live = ~(units[0]["dead"] | units[1]["dead"])
        return (units[0]["unit_mem"] > units[1]["class_mem"])[live].mean()

    trained, untrained = share("simclr"), share("simclr", "controls", "untrained")
    over = "units with UnitMem above ClassMem, over half", "published"
    assert effects[("2a", *over, "trained", 1)] == pytest.approx(trained - 0.5)
    assert effects[("2a", *over, "untrained", 1)] == pytest.approx(untrained - 0.5)


@pytest.mark.parametrize(
    ("claim", "training", "to", "sign"),
    [("2e", "simclr", "an image", 1), ("2f", "supervised", "a class", -1)],
)
def test_ties_are_compared_between_seen_and_unseen_images(
    out, effects, claim, training, to, sign
):
    table = saved(out, 2, training, "ties", "layers.csv")
    share = {}
    for encoder in "fg":
        for seen in (True, False):
            of = table[(table["encoder"] == encoder) & (table["seen"] == seen)]
            share[encoder, seen] = np.average(of["tied"], weights=of["units"])
    expected = sum(share[of, True] - share[of, False] for of in "fg") / 2
    effect = f"units tied to {to}, training images over unseen"
    found = effects[claim, effect, "seen over unseen", "trained", 2]
    assert found == pytest.approx(sign * expected)


def test_augmentations_of_training_are_compared_under_the_same_augmentation(
    out, effects
):
    def last(*folders):
        return saved(out, 1, *folders, "layer-mem", "layers.csv")["symmetric"].iloc[-1]

    def views(*folders):
        path = out.joinpath("pair-1", *folders, "layer-mem", "distances.csv")
        return pd.read_csv(path)["f:pool"]

    weaker = "measured under the weaker augmentation"
    stronger = "measured under the stronger augmentation"
    of = effects["7d"].xs(("symmetric", "trained", 1), level=(1, 2, 3))
    assert of.to_dict() == pytest.approx(
        {
            weaker: last("simclr") - last("simclr_strong", "under", "simclr"),
            stronger: last("simclr", "under", "simclr_strong") - last("simclr_strong"),
        }
    )
    own = effects["7d", "each measured under its own augmentation", "symmetric, own"]
    assert own["trained", 1] == pytest.approx(last("simclr") - last("simclr_strong"))
    assert not np.allclose(views("simclr"), views("simclr", "under", "simclr_strong"))


def test_atypical_images_are_those_that_g_aligns_worst(out, effects):
    scores = saved(out, 1, "simclr", "layer-mem", "samples.csv")
    distances = saved(out, 1, "simclr", "layer-mem", "distances.csv")
    differences = []
    for role in ("candidate", "external"):
        of = scores.index[scores["role"] == role]
        ranked = distances.loc[of, "g:pool"].sort_values().index
        half = len(ranked) // 2
        score = scores["pool"]
        differences.append(score[ranked[half:]].mean() - score[ranked[:half]].mean())
    effect = "3b", "atypical over ordinary"
    assert effects[(*effect, "published", "trained", 1)] == pytest.approx(
        differences[0]
    )
    assert effects[(*effect, "over external", "trained", 1)] == pytest.approx(
        differences[0] - differences[1]
    )


@pytest.mark.parametrize("training", ["simclr_vit", "mae"])
def test_sublayers_are_compared_by_their_steps(out, effects, training):
    layers = saved(out, 2, training, "layer-mem", "layers.csv")
    step = {"attention": [], "mlp": []}
    for before, after in zip(layers.index[:-1], layers.index[1:], strict=True):
        if layers.loc[after, "kind"] in step:
            ratio = np.arctanh(layers["symmetric"])
            step[layers.loc[after, "kind"]].append(
                np.tanh(ratio[after] - ratio[before])
            )
    assert [len(of) for of in step.values()] == [4, 4]
    claim = {"simclr_vit": "4a", "mae": "4b"}[training]
    found = effects[claim, "MLP over attention, step of a block", "symmetric"]
    assert found["trained", 2] == pytest.approx(
        np.mean(step["mlp"]) - np.mean(step["attention"]), abs=1e-9
    )


def test_units_are_compared_in_the_last_third_of_layers(out, effects):
    def late(*folders):
        shares = [
            saved(out, 1, *folders, name, "layers.csv")["member_share"]
            for name in ("unit-mem", "unit-mem-g")
        ]
        assert len(shares[0]) == 8
        return sum(share[6] + share[7] for share in shares) / 4

    for claim, more, less in (
        ("2d", ["simclr"], ["supervised"]),
        ("7c", ["simclr"], ["simclr", "controls", "untrained"]),
    ):
        of = effects[claim].xs("member share", level="estimator")
        (found,) = of.xs(("trained", 1), level=("subject", "pair"))
        assert found == pytest.approx(late(*more) - late(*less))
    of = effects["7e", "measured under the weaker augmentation", "member share"]
    expected = late("simclr") - late("simclr_strong", "under", "simclr")
    assert of["trained", 1] == pytest.approx(expected)


def test_accuracies_are_compared_within_a_pair(out, effects):
    pruned = saved(out, 1, "simclr", "prune", "trials.csv").set_index("strategy")
    tuned = saved(out, 1, "simclr", "finetune", "trials.csv").set_index("strategy")
    accuracy = pruned["accuracy"], tuned["accuracy"]
    for claim, expected in {
        "5a": accuracy[1]["most"] - accuracy[1]["last"],
        "5b": accuracy[1]["most"] - accuracy[1]["random"],
        "5c": accuracy[0]["random"] - accuracy[0]["highest"],
        "5d": accuracy[0]["lowest"] - accuracy[0]["random"],
    }.items():
        of = effects[claim]
        (found,) = of[of.index.get_level_values("pair") == 1]
        assert found == pytest.approx(expected)


def test_controls_have_other_roles_or_other_encoders(out):
    def images(*folders):
        table = saved(out, 1, "simclr", *folders, "layer-mem", "samples.csv")
        return table.set_index("index")["role"]

    trained = images()
    shuffled, external = (images("controls", of) for of in ("shuffled", "external"))
    assert set(shuffled.index) == set(trained.index)
    assert shuffled.value_counts().to_dict() == trained.value_counts().to_dict()
    assert (shuffled != trained.reindex(shuffled.index)).mean() > 0.4
    assert (trained[external.index] == "external").all()
    assert set(external) == {"candidate", "independent", "external"}


def test_running_again_trains_what_is_lost_and_makes_the_same(out, archive, tiny):
    before = contents(out / "results")
    kept = {
        path: path.stat().st_mtime_ns
        for path in out.glob("pair-1/**/*")
        if path.suffix in (".ckpt", ".json")
    }
    shutil.rmtree(out / "pair-2")
    reproduce(archive, out, tiny, "the command", "cpu", workers=1)
    after = contents(out / "results")
    assert after.keys() == before.keys()
    # How long it took is no result.
    for name in before.keys() - {"run.json"}:
        assert after[name] == before[name], name
    assert len(kept) > 100
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_measurements_of_another_version_are_refused(out, tmp_path):
    folder = shutil.copytree(out / "pair-1/mae/probe", tmp_path / "probe")
    head = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(head | {"version": "0.0.1"}))
    with pytest.raises(MemorizationError, match=r"lightly-memloc 0\.0\.1.*--remeasure"):
        keep(folder, None)


def test_trained_pairs_are_measured_again_and_not_trained(out, archive, tiny, tmp_path):
    copied = shutil.copytree(out, tmp_path / "out")
    run._discard_measurements(copied)
    for path in copied.glob("pair-*/*/times.json"):
        assert set(json.loads(path.read_text())) == {"training"}
    (copied / "scale.json").unlink()
    for path in copied.glob("pair-*/*/times.json"):
        path.unlink()
    names = {path.name for path in copied.glob("pair-*/*/*")}
    files = {"f.ckpt", "g.ckpt", "losses.csv", "config.yaml", "split.json"}
    assert names - {"controls", "under"} == files | {"training"}
    assert not list(copied.glob("pair-*/*/controls/*/*"))
    trained = {of: of.stat().st_mtime_ns for of in copied.glob("pair-*/**/*.ckpt")}
    reproduce(archive, copied, tiny, "the command", "cpu", workers=2)
    assert {of: of.stat().st_mtime_ns for of in trained} == trained
    before, after = contents(out / "results"), contents(copied / "results")
    for name in before.keys() - {"run.json"}:
        assert after[name] == before[name], name
    made = json.loads(after["run.json"])
    assert made["trained_before"] == made["trainings"] == 14


def test_the_page_beside_the_tables_shows_all_figures(out):
    page = (out / "results.md").read_text(encoding="utf-8")
    assert page == render(out / "results")
    shown = set(re.findall(r"\]\(results/([^)]+\.svg)\)", page))
    assert shown == {path.name for path in out.glob("results/*.svg")}


def test_a_folder_of_another_scale_is_refused(out, archive, tiny):
    with pytest.raises(MemorizationError, match=r"other settings \(n_views\)"):
        reproduce(archive, out, replace(tiny, n_views=3), "the command")


def test_an_error_of_the_user_shows_no_traceback(monkeypatch, tmp_path):
    arguments = ["run.py", "--data", str(tmp_path / "none.zip"), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    # Python prints the text that it exits with, and no traceback.
    with pytest.raises(SystemExit, match=r"^Error: .*none\.zip cannot be unpacked"):
        run.main()


def test_an_interrupted_command_says_how_to_go_on(monkeypatch, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "reproduce", interrupted)
    monkeypatch.setattr(sys, "argv", ["run.py", "--data", "a.zip", "--out", "b"])
    with pytest.raises(SystemExit, match="To resume, run the same command again"):
        run.main()
