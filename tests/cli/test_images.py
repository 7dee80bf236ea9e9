"""The images of a custom encoder, their roles and their views."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from lightly_memloc import load_result
from tests.cli.commands import OWN
from tests.cli.encoder import make

VIEWS = ("--input-size", 16, "--views", 2, "--layers", "pool")


@pytest.fixture(scope="module")
def sets(images, tmp_path_factory):
    """Members and held-out images in folders and lists, and a checkpoint."""
    root = tmp_path_factory.mktemp("sets")
    paths = sorted(images.glob("*/*.png"))
    for name, of in (("members", paths[:24]), ("holdout", paths[24:])):
        (root / name).mkdir()
        for path in of:
            shutil.copy(path, root / name)
        listed = "\n".join(sorted(f"{name}/{path.name}" for path in of))
        (root / f"{name}.txt").write_text(listed + "\n", encoding="utf-8")
    torch.manual_seed(0)
    torch.save(make().state_dict(), root / "encoder.pt")
    return root


def of_two(sets, ending=""):
    return (
        *OWN,
        *("--checkpoint", sets / "encoder.pt"),
        *("--members", sets / f"members{ending}"),
        *("--holdout", sets / f"holdout{ending}"),
    )


@pytest.mark.parametrize("command", ["layer-mem", "unit-mem"])
def test_two_folders_or_lists(run, sets, command):
    tables = []
    for ending in ("", ".txt"):
        code, out, err = run(command, *of_two(sets, ending), *VIEWS, "--json")
        assert code == 0, err
        document = json.loads(out)
        tables.append(document["tables"]["layers"])
        source = document["settings"]["source"]
        assert source["members"] == str(sets / f"members{ending}")
        assert source["holdout"] == str(sets / f"holdout{ending}")
        assert source["transform"] == "simclr"
        assert source["input_size"] == "16"
        assert source["normalize"] == "imagenet"
    assert tables[0] == tables[1]


def test_the_whole_journey(run, sets, tmp_path):
    out_folder = tmp_path / "result"
    code, _, err = run("layer-mem", *of_two(sets), *VIEWS, "--out", out_folder)
    assert code == 0
    # What it costs is said before it begins.
    assert "views each pass through the encoder and 2 untrained copies of it" in err
    assert Image.open(out_folder / "views.png").size[0] > 300
    assert "size=(16, 16)" in load_result(out_folder).settings["transform"]
    assert run("report", out_folder)[0] == 0
    page = (out_folder / "report.html").read_text(encoding="utf-8")
    assert "What the encoder saw" in page
    assert "Memorisation report: encoder.pt (result)" in page
    # The answer comes first, then what it is about.
    found, measured, saw, limits = map(
        page.index,
        (
            "What was found",
            "What was measured",
            "What the encoder saw",
            "What cannot be concluded",
        ),
    )
    assert found < measured < saw < limits
    shown = " ".join(page.split())
    assert f"The encoder tests.cli.encoder:make with the weights of {sets}" in shown
    assert f"members: {sets}/members, held-out images: {sets}/holdout" in shown
    assert "Views: simclr, 16 pixels." in shown
    assert page.count("data:image/png;base64,") >= 1
    # The next step is a command that works as it stands.
    (step,) = re.findall(r"<code>(lightly-memloc unit-mem [^<]*)</code>", page)
    assert "--members" in step
    assert "--transform simclr" in step
    code, _, err = run(*step.split()[1:])
    assert code == 0, err


def test_thumbnails_of_two_folders(run, sets, tmp_path):
    code, _, err = run("unit-mem", *of_two(sets), *VIEWS, "--out", tmp_path / "unit")
    assert (code, err) == (0, "")
    assert run("report", tmp_path / "unit")[0] == 0
    page = (tmp_path / "unit" / "report.html").read_text(encoding="utf-8")
    assert "There are no thumbnails" not in page


def test_without_covariates(run, sets, tmp_path):
    out_folder = tmp_path / "result"
    given = [*of_two(sets), *VIEWS, "--no-covariates", "--out", out_folder]
    code, _, err = run("layer-mem", *given)
    assert (code, err) == (0, "")
    result = load_result(out_folder)
    assert not result.has("adjusted_gap")
    assert result.has("alignment_gap")


def test_matched(run, sets, tmp_path):
    out_folder = tmp_path / "result"
    code, _, err = run(
        "layer-mem", *of_two(sets), *VIEWS, "--matched", "--out", out_folder
    )
    assert code == 0, err
    settings = load_result(out_folder).settings
    assert settings["matched"]
    assert 0 <= settings["blind_before"]["auc"] <= 1
    code, _, err = run(
        "layer-mem", *of_two(sets), *VIEWS, "--matched", "--no-covariates"
    )
    assert code == 2
    assert "matched=True" in err


def test_members_alone(run, sets):
    alone = of_two(sets)[:-2]
    code, out, _ = run("unit-mem", *alone, *VIEWS)
    assert code == 0
    assert "without a holdout nothing can be concluded" in " ".join(out.split())
    code, _, err = run("layer-mem", *alone, *VIEWS)
    assert code == 2
    assert "give --members and --holdout" in " ".join(err.split())


def test_the_transform_is_never_chosen_for_you(run, sets):
    without = [of for of in of_two(sets) if of not in ("--transform", "simclr")]
    for command in ("layer-mem", "unit-mem"):
        code, _, err = run(command, *without, *VIEWS)
        assert code == 2
        said = " ".join(err.split())
        assert "Say with --transform" in said
        assert "byol, dino, mae" in said
        assert "center-crop" in said


def test_a_transform_and_a_normalization_of_ones_own(run, sets):
    own = (
        *("--transform", "tests.training.test_views:made_by_a_function"),
        *("--normalize", "0.5,0.25"),
    )
    code, out, err = run("unit-mem", *of_two(sets), *VIEWS, *own, "--json")
    assert code == 0, err
    settings = json.loads(out)["settings"]
    assert "RandomCrop(size=(10, 10)" in settings["transform"]
    assert settings["source"]["normalize"] == "0.5,0.5,0.5,0.25,0.25,0.25"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--split", "s.json"), "Give either --split, or --members and --holdout"),
        (("--normalize", "bright"), "Expected a normalization"),
        (("--transform", "simlcr"), "Unknown transform 'simlcr'"),
        (("--members", "nowhere"), "nowhere is not a folder"),
        (("--data", "x"), "--members and --holdout"),
    ],
)
def test_what_does_not_go_together(run, sets, change, message):
    code, _, err = run("layer-mem", *of_two(sets), *VIEWS, *change)
    assert code == 2
    assert message in " ".join(err.split())


def test_images_that_are_given_twice_or_not_at_all(run, sets):
    code, _, err = run("layer-mem", sets / "members", *of_two(sets), *VIEWS)
    assert code == 2
    assert "The images are given twice" in err
    encoder = of_two(sets)[:-4]
    code, _, err = run("unit-mem", *encoder, *VIEWS)
    assert code == 2
    assert "Say which images to measure" in " ".join(err.split())
    code, _, err = run("unit-mem", *encoder, "--holdout", sets / "holdout", *VIEWS)
    assert code == 2
    assert "--holdout needs --members" in " ".join(err.split())
    code, _, err = run("layer-mem")
    assert code == 2
    assert "Give a run folder; or a custom encoder" in " ".join(err.split())


@pytest.mark.parametrize(
    "option",
    [
        ("--members", "x"),
        ("--holdout", "x"),
        ("--transform", "simclr"),
        ("--normalize", "none"),
        ("--input-size", 16),
    ],
)
def test_a_run_has_its_own_images_and_views(run, trained, option):
    for command in ("unit-mem", "views"):
        code, _, err = run(command, trained, *option)
        assert code == 2
        assert "A run has its own images and views" in " ".join(err.split())


def test_the_views_alone(run, sets, trained, tmp_path):
    pictures = []
    for name, given in {
        "two": of_two(sets)[2:4] + of_two(sets)[-4:],
        "one": (sets / "members", "--transform", "dino", "--input-size", 24),
        "run": (trained,),
        "digits": ("digits", "--transform", "simclr"),
    }.items():
        path = tmp_path / f"{name}.png"
        code, out, err = run("views", *given, "--out", path)
        assert (code, err) == (0, ""), name
        assert f"Saved the views to {path}" in " ".join(out.split())
        pictures.append(np.asarray(Image.open(path)).mean())
    assert len(set(pictures)) == 4
    code, _, err = run("views", sets / "members")
    assert code == 2
    assert "Say with --transform" in " ".join(err.split())
