"""Train in two processes with a callback that writes to the log folder."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from lightly_memloc import MemorizationCallback
from lightly_memloc.data import Digits
from tests.evaluators.trainings import SimCLR, loader, quiet_trainer

torch.set_num_threads(1)
torch.manual_seed(0)
folder = Path(sys.argv[1])
transform, members, holdout = torch.load(folder / "task.pt", weights_only=False)
method = SimCLR()
callback = MemorizationCallback(
    Digits(), transform, members, holdout, n_views=2, batch_size=4
)
trainer = quiet_trainer(folder, callback, max_epochs=1, devices=2, strategy="ddp")
trainer.fit(method, loader(Digits(), members, transform, batch_size=4))
if trainer.is_global_zero:
    torch.save(method.backbone.state_dict(), folder / "encoder.pt")
