"""Calls in processes of their own, which end with this one."""

import multiprocessing
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed

from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn


def call_all(function, calls, workers, title, log):
    """Call a function with each of several arguments, and show how far it got.

    If a call fails or is interrupted, those under way are ended, too.

    Args:
        function: The function; what it returns is not kept.
        calls: Arguments of each call.
        workers: Processes at a time.
        title: What is done, as the progress shows it.
        log: The file that the processes print to.
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
            # The pool waits for its processes itself: of two that wait for one
            # process, one may not learn that it has ended.
            pool.shutdown(cancel_futures=True)
            raise


def _begin(log):
    sys.stdout = sys.stderr = log.open("a", buffering=1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)
