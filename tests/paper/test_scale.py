from dataclasses import replace

import pandas as pd
import pytest
from claims import CLAIMS
from run import reproduce
from scale import FULL, SCALES, smoke


def of_small_views(training):
    return replace(training, settings=training.settings | {"input_size": 16})


@pytest.mark.slow
def test_the_full_scale_runs_with_tiny_numbers(archive, tmp_path):
    tiny = smoke(FULL)
    trainings = {name: of_small_views(of) for name, of in tiny.trainings.items()}
    scale = replace(tiny, pairs=1, trainings=trainings)
    reproduce(archive, tmp_path / "out", scale, "the command", "cpu", workers=2)
    verdicts = pd.read_csv(tmp_path / "out" / "results" / "verdicts.csv")
    assert verdicts["claim"].tolist() == [claim.name for claim in CLAIMS]
    # One pair has no interval.
    untestable = verdicts["claim"].isin(["2a", "2b"])
    assert set(verdicts.loc[~untestable, "verdict"]) == {"not confirmed at this scale"}
    assert set(verdicts.loc[untestable, "verdict"]) == {"not testable as stated"}


def test_smoke_changes_numbers_alone():
    for scale in SCALES.values():
        tiny = smoke(scale)
        assert tiny.trainings.keys() == scale.trainings.keys()
        for name, training in scale.trainings.items():
            settings = training.settings | {"epochs": 1, "batch_size": 8}
            assert tiny.trainings[name] == replace(training, settings=settings)


def test_the_paper_s_roles_fit_the_data():
    assert sum(FULL.roles) + sum(FULL.probes) == 60_000
    assert FULL.roles == (40_000, 5_000, 5_000, 5_000)
