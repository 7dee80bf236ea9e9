import numpy as np

from lightly_memloc.training.training_data import Stream, _EpochOrder


def test_processes_share_an_epoch():
    indices = np.arange(3, 26)
    shares = [
        [int(i) for i in _EpochOrder(indices, Stream(0, 1), 4, rank, 3)]
        for rank in range(3)
    ]
    drawn = [index for share in shares for index in share]
    assert [len(share) for share in shares] == [7, 7, 7]
    assert len(set(drawn)) == 21
    assert set(drawn) < set(indices.tolist())
