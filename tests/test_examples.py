import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("pytorch*/*.py"))


@pytest.mark.parametrize(
    "example", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_example_runs(example, tmp_path):
    run = subprocess.run(
        [sys.executable, example, "--smoke"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert ("symmetric" if example.name == "simclr.py" else "unit_mem") in run.stdout
    assert "member_share_p" in run.stdout
