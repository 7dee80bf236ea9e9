import numpy as np
import pytest
from PIL import Image

from lightly_memloc import measure_unit_mem
from lightly_memloc.report import save_with_figures
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
