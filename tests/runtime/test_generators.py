import random
from itertools import product

import numpy as np
import pytest
import torch

from lightly_memloc.runtime.generators import generators_restored, seed_generators


def draw():
    return torch.rand(4).tolist(), np.random.rand(4).tolist(), random.random()


def test_states_are_restored(generator_states, stir):
    stir(3)
    draw()
    before = generator_states()
    with generators_restored():
        draw()
        assert all(
            now != then for now, then in zip(generator_states(), before, strict=True)
        )
    assert generator_states() == before


def test_states_are_restored_after_an_error(generator_states):
    def fail():
        with generators_restored():
            seed_generators(1)
            draw()
            raise RuntimeError("on the way")

    before = generator_states()
    with pytest.raises(RuntimeError, match="on the way"):
        fail()
    assert generator_states() == before


def test_gaussian_half_is_restored(stir):
    # numpy and random keep the second of a pair of normal numbers for the next call.
    stir(3)
    expected = [np.random.randn(), np.random.randn(), np.random.randn()]
    expected += [random.gauss(0, 1), random.gauss(0, 1)]
    stir(3)
    drawn = [np.random.randn()]
    with generators_restored():
        seed_generators(5)
        np.random.randn()
    drawn += [np.random.randn(), np.random.randn(), random.gauss(0, 1)]
    with generators_restored():
        seed_generators(5)
        random.gauss(0, 1)
    assert [*drawn, random.gauss(0, 1)] == expected


def test_same_numbers_give_same_streams(stir):
    stir(1)
    with generators_restored():
        seed_generators(0, 12, 3)
        first = draw()
    stir(2)
    with generators_restored():
        seed_generators(0, 12, 3)
        assert draw() == first


def test_other_numbers_give_other_streams():
    streams = []
    with generators_restored():
        for entropy in product([0, 1, 2**31, 2**32 - 1], [0, 1, 5000], [0, 1, 9]):
            seed_generators(*entropy)
            streams.append(draw())
    for by_generator in zip(*streams, strict=True):
        assert len({str(stream) for stream in by_generator}) == 4 * 3 * 3


# Both are Mersenne Twisters: of the same seed, they would draw the same words.
def test_torch_and_numpy_draw_apart():
    with generators_restored():
        seed_generators(4)
        of_torch = set(torch.randint(2**31, (8,)).tolist())
        of_numpy = set((np.frombuffer(np.random.bytes(64), "<u4") % 2**31).tolist())
    assert not of_torch & of_numpy
