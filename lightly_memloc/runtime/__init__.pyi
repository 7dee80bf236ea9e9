from .bounds import refuse_outside
from .checkpoint import LoadedEncoder, load_encoder, load_weights, shapes_of
from .copies import copy_encoder
from .device import lacks_bfloat16, resolve_device, state_device, trainer_device
from .distributed import (
    failing_together,
    gathered,
    is_first_process,
    rank_and_world_size,
    reason,
    share_buffers,
)
from .files import is_stream, refuse_no_folder, replacing, short_name
from .fingerprints import digest, weights_fingerprint
from .generators import generators_restored, seed_generators
from .interruption import (
    Interrupted,
    deferred_interruption,
    interruptible,
    is_interrupted,
    stop_if_interrupted,
)
from .json_text import not_finite, plain, to_json
from .pass_options import (
    LoadingArguments,
    MeasuringArguments,
    PassArguments,
    PassOptions,
)
from .printable import printable
from .progress import tracked
from .quiet import quiet_lightning
from .registry import Registry
from .state_file import StateFile
from .trace_free import leave_no_trace
from .untrained import estimate_running_statistics, untrained_copy

__all__ = [
    "Interrupted",
    "LoadedEncoder",
    "LoadingArguments",
    "MeasuringArguments",
    "PassArguments",
    "PassOptions",
    "Registry",
    "StateFile",
    "copy_encoder",
    "deferred_interruption",
    "digest",
    "estimate_running_statistics",
    "failing_together",
    "gathered",
    "generators_restored",
    "interruptible",
    "is_first_process",
    "is_interrupted",
    "is_stream",
    "lacks_bfloat16",
    "leave_no_trace",
    "load_encoder",
    "load_weights",
    "not_finite",
    "plain",
    "printable",
    "quiet_lightning",
    "rank_and_world_size",
    "reason",
    "refuse_no_folder",
    "refuse_outside",
    "replacing",
    "resolve_device",
    "seed_generators",
    "shapes_of",
    "share_buffers",
    "short_name",
    "state_device",
    "stop_if_interrupted",
    "to_json",
    "tracked",
    "trainer_device",
    "untrained_copy",
    "weights_fingerprint",
]
