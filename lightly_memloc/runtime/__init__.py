"""What a measurement needs of the machine: devices, processes, files and generators."""

from lightly_memloc.runtime.checkpoint import load_encoder
from lightly_memloc.runtime.device import (
    lacks_bfloat16,
    resolve_device,
    state_device,
    trainer_device,
)
from lightly_memloc.runtime.distributed import (
    fail_together,
    gathered,
    rank_and_world_size,
    reason,
    share_buffers,
)
from lightly_memloc.runtime.files import replacing
from lightly_memloc.runtime.fingerprint import digest
from lightly_memloc.runtime.generators import generators_restored, seed_generators
from lightly_memloc.runtime.pass_options import (
    LoadingArguments,
    PassArguments,
    PassOptions,
)
from lightly_memloc.runtime.progress import tracked
from lightly_memloc.runtime.quiet import quiet_lightning
from lightly_memloc.runtime.registry import Registry
from lightly_memloc.runtime.state_file import StateFile
from lightly_memloc.runtime.trace_free import leave_no_trace

__all__ = [
    "LoadingArguments",
    "PassArguments",
    "PassOptions",
    "Registry",
    "StateFile",
    "digest",
    "fail_together",
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
]
