import pytest
import torch
from torch import distributed, multiprocessing, nn

from lightly_memloc.errors import MemorizationError, UnreadableImageError
from lightly_memloc.runtime import (
    failing_together,
    gathered,
    rank_and_world_size,
    reason,
    share_buffers,
)


def in_two_processes(function, folder):
    """Call a function of the rank as each of two processes; return what they give."""
    multiprocessing.start_processes(
        _call_as_rank, (function, folder), 2, start_method="fork"
    )
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def _call_as_rank(rank, function, folder):
    store = f"file://{folder / 'store'}"
    distributed.init_process_group("gloo", store, rank=rank, world_size=2)
    torch.save(function(rank), folder / f"{rank}.pt")
    # The ranks leave together. With torch 2.6, destroying the group sometimes hangs.
    distributed.barrier()


def test_one_process_alone():
    assert rank_and_world_size() == (0, 1)
    assert gathered({"a": 1}) == [{"a": 1}]
    with failing_together():
        pass
    with pytest.raises(KeyError, match="own"), failing_together():
        raise KeyError("own")


def test_values_are_gathered_in_the_order_of_ranks(tmp_path):
    def gather(rank):
        return [*rank_and_world_size(), gathered("value" * (rank + 1))]

    expected = [[rank, 2, ["value", "valuevalue"]] for rank in range(2)]
    assert in_two_processes(gather, tmp_path) == expected


def test_buffers_are_those_of_the_first_rank(tmp_path):
    def share(rank):
        models = [nn.BatchNorm1d(2), nn.BatchNorm1d(3)]
        for number, model in enumerate(models):
            model.running_mean.fill_(10 * number + rank)
            nn.init.constant_(model.weight, rank)
        share_buffers(models)
        return [(m.running_mean.tolist(), m.weight.tolist()) for m in models]

    for rank, shared in enumerate(in_two_processes(share, tmp_path)):
        assert shared == [([0, 0], [rank] * 2), ([10] * 3, [rank] * 3)]


@pytest.mark.parametrize("failing", [0, 1])
def test_all_ranks_fail_if_one_does(tmp_path, failing):
    def fail(rank):
        try:
            with failing_together():
                if rank == failing:
                    raise OSError("disk full")
        except Exception as error:
            return type(error).__name__, str(error)

    errors = in_two_processes(fail, tmp_path)
    assert errors[failing] == ("OSError", "disk full")
    other = "MemorizationError", "Another process failed: OSError: disk full."
    assert errors[1 - failing] == other


def test_no_rank_fails_if_none_does(tmp_path):
    def succeed(rank):
        with failing_together():
            return rank

    assert in_two_processes(succeed, tmp_path) == [0, 1]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemorizationError("Too few images."), "Too few images."),
        (UnreadableImageError("a.png: broken"), "a.png: broken"),
        (OSError("disk full"), "OSError: disk full."),
    ],
)
def test_the_reason_names_the_type_of_foreign_errors(error, expected):
    assert reason(error) == expected
