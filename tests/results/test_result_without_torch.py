import json
import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[2] / "docs" / "results" / "demo"

READ = """
import json, sys
import lightly_memloc.estimation, lightly_memloc.results
import lightly_memloc as memloc

layer_mem = memloc.load_result(sys.argv[1] + "/layer-mem")
unit_mem = memloc.load_result(sys.argv[1] + "/unit-mem")
layer_mem.save(sys.argv[2])
memloc.load_result(sys.argv[2])
auc = memloc.estimation.infer_membership(layer_mem).to_pandas()["auc"]
tables = memloc.estimation.analyze(layer_mem, unit_mem).tables
heavy = {"torch", "torchvision", "torchmetrics", "pytorch_lightning", "lightly"}
print(json.dumps([len(auc), sorted(tables), sorted(heavy & {*sys.modules})]))
"""


def test_saved_results_are_read_without_torch_and_lightning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", READ, str(DEMO), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    n_rows, tables, imported = json.loads(done.stdout)
    assert n_rows == 2 * 9
    assert tables == ["atypical", "atypical_units", "consistency", "units_won"]
    assert imported == []
