import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lightly_memloc import measure_unit_mem
from lightly_memloc.report import Saved, save_with_figures, write_report
from tests.report.shown import with_effect


@pytest.fixture
def unit_mem(encoders, digits, transform):
    return measure_unit_mem(
        encoders[0], digits, transform, range(8), range(8, 16), n_views=2
    )


def test_figures_are_saved(tmp_path, unit_mem):
    save_with_figures(with_effect(0.1), tmp_path / "layer")
    save_with_figures(with_effect(0.1, reference=False), tmp_path / "gap")
    save_with_figures(unit_mem, tmp_path / "unit")
    for name in (
        "layer/layer_mem",
        "gap/layer_mem",
        "unit/unit_mem",
        "unit/member_share",
    ):
        image = Image.open(tmp_path / f"{name}.png").convert("L")
        assert min(image.size) >= 400
        assert np.asarray(image).std() > 5


def test_a_result_has_one_title_whatever_its_folder_is_called(tmp_path):
    result = with_effect(0.1)
    result = replace(result, settings={**result.settings, "reference": True})
    for folder in ("layer-mem", "layer_mem", "mine"):
        result.save(tmp_path / folder / folder)
        text = write_report(tmp_path / folder).read_text(encoding="utf-8")
        assert re.findall("<h2>(.*)</h2>", text)[1] == "Layers"


def test_results_of_one_title_are_told_apart_by_their_folders(tmp_path):
    result = with_effect(0.1)
    result = replace(result, settings={**result.settings, "reference": True})
    for folder in ("first", "second"):
        result.save(tmp_path / folder)
    text = write_report(tmp_path).read_text(encoding="utf-8")
    found = re.findall("<h2>(.*)</h2>", text)[1:3]
    assert found == ["Layers (first)", "Layers (second)"]


def test_results_are_in_the_order_of_a_study(results, tmp_path):
    names = {
        "layer-mem": "resnet",
        "unit-mem": "unit-mem",
        "class-mem": "class-mem",
        "membership": "membership",
        "analysis": "analysis",
        "probe": "probe",
        "prune": "prune-0.5",
        "finetune": "finetune-1",
        "exchange": "exchange-1",
        "tune-unit": "tune-unit",
        "retrain": "curate",
    }
    for folder, name in reversed(names.items()):
        results[name].save(tmp_path / folder)
    assert list(Saved.read(tmp_path).results) == list(names)
