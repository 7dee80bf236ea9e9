import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from pool import call_all

pytestmark = pytest.mark.slow

PAPER = Path(__file__).parents[2] / "examples" / "paper"
SLEEPS = """
import signal, sys, time
from pathlib import Path
from pool import call_all

if __name__ == "__main__":
    # A shell's background job ignores it, and hands that down.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    call_all(time.sleep, [(600,), (600,)], 2, "Sleeping", Path(sys.argv[1]))
"""


def test_all_calls_are_made_and_print_to_the_log(tmp_path):
    log = tmp_path / "log.txt"
    call_all(print, [("one",), ("two",), ("three",)], 2, "Printing", log)
    assert sorted(log.read_text().split()) == ["one", "three", "two"]


def test_a_failed_call_ends_the_others(tmp_path):
    with pytest.raises(TypeError):
        call_all(time.sleep, [(600,), ("no number",)], 2, "Sleeping", tmp_path / "log")
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_command(sent, tmp_path):
    script = tmp_path / "sleeps.py"
    script.write_text(SLEEPS)
    command = [sys.executable, script, tmp_path / "log.txt"]
    with subprocess.Popen(
        command, env={"PYTHONPATH": str(PAPER)}, stderr=subprocess.DEVNULL
    ) as run:
        parent = psutil.Process(run.pid)
        while len(children := parent.children(recursive=True)) < 3:
            assert run.poll() is None
            time.sleep(0.05)
        time.sleep(1)
        run.send_signal(sent)
    assert not psutil.wait_procs(children, timeout=60)[1]
