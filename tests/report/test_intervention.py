import numpy as np
import pandas as pd

from lightly_memloc.report import report_of
from lightly_memloc.results import (
    InterventionResult,
)
from tests.report.shown import estimate


def test_interventions_show_every_trial_and_the_mean(results):
    result = results["prune-0.5"]
    trials, axes = result.trials_to_pandas(), result.plot()[0].axes[0]
    changes = 100 * (trials["accuracy"] - trials["baseline"])
    np.testing.assert_allclose(axes.lines[0].get_ydata(), changes)
    means = changes.groupby(trials["strategy"], sort=False).mean()
    np.testing.assert_allclose(axes.lines[1].get_ydata().astype(float), means)


def test_bars_reach_from_the_low_to_the_high_end(results):
    summary = results["prune-0.5"].to_pandas()
    (bars,) = results["prune-0.5"].plot()[0].axes[0].collections
    ends = [path.vertices[:, 1] for path in bars.get_paths()]
    np.testing.assert_allclose(ends, 100 * summary[["change_low", "change_high"]])


def test_a_trial_stands_at_its_strategy(results):
    result = results["prune-0.5"]
    axes = result.plot()[0].axes[0]
    names = [label.get_text() for label in axes.get_xticklabels()]
    at = axes.lines[0].get_xdata()
    assert [names[round(x)] for x in at] == result.trials_to_pandas()[
        "strategy"
    ].tolist()


def found(p, images=True, runs=False, **more):
    summary = pd.DataFrame({"strategy": ["most"], **estimate("change", [-0.3], [p])})
    tables = {"summary": summary} | ({"images": pd.DataFrame()} if images else {})
    settings = {"intervention": "prune", **more} | ({"runs": ["r1"]} if runs else {})
    return report_of(InterventionResult(settings, tables)).words()


def test_results_of_earlier_versions_say_what_their_intervals_leave_out():
    warning = " This result of an earlier version leaves out the variation between test"
    assert warning in found(0.01, images=False)
    for options in ({}, {"images": False, "runs": True}):
        assert found(0.01, **options) == (
            "prune: 'most' changes accuracy by -30.0 points (95% interval -40.0 to "
            "-20.0)."
        )
    assert found(None, images=False).endswith("nothing can be concluded.")


def test_images_without_a_label_are_counted():
    said = " The probe left out 2 images without a label."
    assert found(0.01, unlabelled=2) == found(0.01) + said


def test_one_trial_is_not_compared_with_random_choice():
    summary = pd.DataFrame(
        {
            "strategy": ["most", "random"],
            **estimate("change", [-0.3, 0.0], [0.001, 0.5]),
            **estimate("over_random", [-0.3, None], [None, None]),
        }
    )
    tables = {"summary": summary, "images": pd.DataFrame()}
    words = report_of(InterventionResult({"intervention": "prune"}, tables)).words()
    assert "random" not in words


def test_interventions_tell_what_changes_from_what_differs_from_random():
    summary = pd.DataFrame(
        {
            "strategy": ["most", "least", "random"],
            **estimate("change", [-0.3, 0.0, -0.2], [0.001, 0.05, 0.04]),
            **estimate("over_random", [-0.1, 0.2, None], [0.3, 0.001, None]),
        }
    )
    tables = {"summary": summary, "images": pd.DataFrame()}
    result = InterventionResult({"intervention": "prune"}, tables)
    assert report_of(result).words() == (
        "prune: 'most' changes accuracy by -30.0 points (95% interval -40.0 to -20.0); "
        "'random' changes accuracy by -20.0 points (95% interval -30.0 to -10.0). "
        "Compared with random choice, 'least' differs by +20.0 points (95% interval "
        "+10.0 to +30.0)."
    )
