"""Function calls in separate processes, which end when this process ends."""

import multiprocessing
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed

from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn


def call_all(function, calls, workers, title, log):
    """Call a function with several sets of arguments and show the progress.

    If a call fails or is interrupted, the running calls are stopped as well.

    Args:
        function: The function. Its return value is ignored.
        calls: Arguments of each call.
        workers: Number of parallel processes.
        title: Title of the progress bar.
        log: File for the output of the processes.
    """
    context = multiprocessing.get_context("spawn")
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with (
        Progress(*columns, TimeElapsedColumn()) as progress,
        ProcessPoolExecutor(workers, context, _begin, (log,)) as pool,
    ):
        bar = progress.add_task(title, total=len(calls))
        try:
            for done in as_completed([pool.submit(function, *of) for of in calls]):
                done.result()
                progress.advance(bar)
        except BaseException:
            for process in multiprocessing.active_children():
                process.kill()
            # The pool waits for its processes itself. If two threads wait for the same
            # process, one of them may not notice that it has ended.
            pool.shutdown(cancel_futures=True)
            raise


def _begin(log):
    sys.stdout = sys.stderr = log.open("a", buffering=1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)
