import pandas as pd
import pytest

from lightly_memloc.report import report_of
from lightly_memloc.results import CurationResult
from tests.report.shown import printed

SETTINGS = {"layer": "pool", "scored": 800, "n_external": 179}
SELECTED = "Their scores are high by selection: expect lower ones in another run."


def curated(scores=(0.3, 0.2, 0.1), q=0.05, settings=None, **tables):
    images = pd.DataFrame({"ssl_mem": list(scores), "p": 0.001, "q": q})
    images.insert(0, "filename", "a.png")
    images.insert(1, "role", "candidate")
    settings = {**SETTINGS, "number": len(images), **(settings or {})}
    return CurationResult(settings, {"samples": images, **tables})


def test_results_of_the_first_version():
    images = pd.DataFrame({"ssl_mem": [0.3, 0.2, 0.1]})
    listed = "3 images are listed, with SSLMem from +0.300 down to +0.100."
    assert report_of(CurationResult({}, {"samples": images})).words() == listed


def test_a_list_says_how_many_images_are_expected_by_chance():
    by_rate = curated(settings={"fdr": 0.1, "by_chance": 0.3})
    assert report_of(by_rate).words() == (
        "3 images are listed, with SSLMem from +0.300 down to +0.100. At most 10% of them "
        f"(0.3) are expected to be listed by chance. {SELECTED}"
    )
    (table,) = report_of(by_rate).tables()
    assert table.title == "Memorised images by pool (3 of 3 listed, of 800 scored)"
    assert table.rows[0] == ("a.png", "candidate", "+0.300", ".001", ".050")


def test_a_list_without_small_q_is_not_called_memorised():
    """Where nothing is memorised, one list in ten would be."""
    report = report_of(curated(q=0.07, settings={"fdr": 0.1, "by_chance": 0.3}))
    assert report.tables()[0].title.startswith("Images with the highest SSLMem in pool")
    assert (
        "No image has q up to 0.05: where nothing is memorised, up to 10% of "
        "measurements list images like these."
    ) in report.words()


@pytest.mark.parametrize(
    ("q", "found"),
    [([0.04, 0.1, 0.2], 2), ([0.06, 0.1, 0.2], "None"), (0.2, "None")],
)
def test_a_list_of_fixed_length_claims_only_what_is_detected(q, found):
    report = report_of(curated(q=q, settings={"by_chance": 2.5}))
    assert report.words() == (
        "3 images are listed, with SSLMem from +0.300 down to +0.100. 2.5 of them are "
        f"expected to score as high by chance. {found} of them can be called memorised at "
        f"a false discovery rate of 10%. {SELECTED}"
    )
    (table,) = report.tables()
    assert table.title.startswith("Images with the highest SSLMem in pool")


def test_an_empty_list_is_said_and_nothing_is_claimed():
    empty = curated([], settings={"fdr": 0.1, "by_chance": 0.0})
    report = report_of(empty)
    # 45 images with p = 1/180 are the fewest that 800 tests detect: 800 / 18 = 44.4.
    assert report.words() == (
        "The list is empty: at a false discovery rate of 10%, none of 800 images scores "
        "higher than chance explains. With 179 external images, a list needs at least 45 "
        "images that score above all of them."
    )
    assert report.tables() == []
    assert report.next_steps() == []
    assert dict(report.figures()) == {}
    settings = {"fdr": 0.1, "by_chance": 0.0, "n_runs": 3}
    of_runs = CurationResult(
        {"layer": "pool", "scored": 800, "number": 0, **settings}, empty.tables
    )
    assert (
        report_of(of_runs)
        .words()
        .endswith("3 runs are too few to detect single images: train at least six.")
    )


def test_what_training_without_the_images_did():
    layers = pd.DataFrame(
        {"difference_p": 0.001, "difference_p_adjusted": [0.5, 0.049, 0.05, 0.001]}
    )
    accuracy = pd.DataFrame(
        {
            "encoder": ["original", "without memorized", "without random"],
            "accuracy": [0.9, 0.8, 0.7],
        }
    )
    retrained = {"layers": layers, "accuracy": accuracy}
    words = report_of(curated(settings={"by_chance": None}, **retrained)).words()
    assert "An encoder trained without them differs" in words
    assert "in 2 of 4 layers" in words
    assert words.endswith("accuracies are 80.0% and 70.0%.")


@pytest.mark.parametrize(
    ("effect", "p", "verdict"),
    [
        (0.05, 0.049, "training on the listed images raises their own LayerMem."),
        (0.05, 0.06, "does not show that the listed images are memorised."),
        (-0.05, 0.001, "does not show that the listed images are memorised."),
    ],
)
def test_the_claim_about_listed_images_rests_on_encoders_that_did_not_choose_them(
    effect, p, verdict
):
    layers = pd.DataFrame(
        {
            "difference_p": [0.5],
            "removed_effect": effect,
            "removed_effect_low": 0.01,
            "removed_effect_high": 0.09,
            "removed_effect_p": p,
        }
    )
    encoders = ["original", "without memorized", "without random"]
    accuracy = pd.DataFrame({"encoder": encoders, "accuracy": 0.9})
    retrained = {"layers": layers, "accuracy": accuracy}
    words = report_of(curated(settings={"by_chance": None}, **retrained)).words()
    assert f"is {effect:+.3f} higher in the new encoder that was trained" in words
    assert words.endswith(verdict)


def test_lists_over_runs_fit_80_columns():
    images = curated(settings={"fdr": 0.1, "by_chance": 0.3}).to_pandas()
    images["role"] = "candidate or independent"
    images["filename"] = "class/" * 20 + "a.png"
    images["ssl_mem_shrunk"] = 0.1
    settings = {**SETTINGS, "number": 3, "fdr": 0.1, "by_chance": 0.3}
    lines = printed(CurationResult(settings, {"samples": images})).splitlines()
    assert max(map(len, lines)) <= 80
    assert "shrunk" in lines[1]


@pytest.mark.parametrize(
    ("settings", "command"),
    [
        ({"fdr": 0.05, "by_chance": 0.15}, "curate --fdr 0.05 --retrain"),
        ({"by_chance": 1.5}, "curate --amount 3 --retrain"),
    ],
)
def test_the_next_step_trains_without_the_same_images(settings, command):
    (step,) = report_of(curated(settings=settings)).next_steps()
    assert step.command == command
