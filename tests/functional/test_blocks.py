from importlib import import_module

import pytest
import torch

from lightly_memloc.functional import alignment_distance, unit_activation
from lightly_memloc.functional.blocks import block_size


def test_a_gpu_gets_large_blocks():
    assert block_size(torch.zeros(1), 64) == 64
    assert block_size(torch.zeros(1, device="meta"), 64) > 1 << 20


@pytest.mark.parametrize("module", ["alignment_distance", "unit_activation"])
def test_the_size_changes_nothing(monkeypatch, module):
    views = torch.randn(6, 4, 5, 3, 3, generator=torch.Generator().manual_seed(0))

    def measured():
        if module == "alignment_distance":
            return alignment_distance(views)
        return unit_activation(views.flatten(0, 1))

    usual = measured()
    for size in (1, 7, 100):
        of = import_module(f"lightly_memloc.functional.{module}")
        monkeypatch.setattr(of, "_BLOCK", size)
        torch.testing.assert_close(measured(), usual, rtol=1e-6, atol=1e-7)
