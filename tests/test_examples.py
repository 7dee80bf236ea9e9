import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("pytorch*/*.py"))


@pytest.mark.parametrize(
    "example", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_example_runs(example, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(example), "--smoke"])
    if example.parent.name == "pytorch_lightning_distributed":
        # Lightning starts further processes from the script that runs: not from pytest.
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, *sys.argv], env=environment, check=True)
    else:
        runpy.run_path(str(example), run_name="__main__")
    printed = capfd.readouterr().out
    assert ("symmetric" if example.name == "simclr.py" else "unit_mem") in printed
    assert "member_share_p" in printed
