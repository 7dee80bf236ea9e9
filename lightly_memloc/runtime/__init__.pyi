from .checkpoint import load_encoder
from .device import lacks_bfloat16, resolve_device, state_device, trainer_device
from .distributed import (
    failing_together,
    gathered,
    rank_and_world_size,
    reason,
    share_buffers,
)
from .files import replacing
from .fingerprints import digest, weights_fingerprint
from .generators import generators_restored, seed_generators
from .pass_options import (
    LoadingArguments,
    MeasuringArguments,
    PassArguments,
    PassOptions,
)
from .progress import tracked
from .quiet import quiet_lightning
from .registry import Registry
from .state_file import StateFile
from .trace_free import leave_no_trace
from .untrained import estimate_running_statistics, untrained_copy

__all__ = [
    "LoadingArguments",
    "MeasuringArguments",
    "PassArguments",
    "PassOptions",
    "Registry",
    "StateFile",
    "digest",
    "estimate_running_statistics",
    "failing_together",
    "gathered",
    "generators_restored",
    "lacks_bfloat16",
    "leave_no_trace",
    "load_encoder",
    "quiet_lightning",
    "rank_and_world_size",
    "reason",
    "replacing",
    "resolve_device",
    "seed_generators",
    "share_buffers",
    "state_device",
    "tracked",
    "trainer_device",
    "untrained_copy",
    "weights_fingerprint",
]
