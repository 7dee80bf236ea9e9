"""The processes of a Trainer with two devices, as copies of the test's own.

Lightning starts a script anew for each further device; a fresh Python spends seconds on
imports. Where the environment says that they exist already, it starts none.
"""

import os
import socket
from collections.abc import Callable

from torch import multiprocessing


def call_in_two_processes(function: Callable[..., object], *arguments: object) -> None:
    """Call a function that uses a Trainer of two devices, once as each of them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        _, port = free.getsockname()
    multiprocessing.start_processes(
        _call_as_rank, (port, function, arguments), 2, start_method="fork"
    )


def _call_as_rank(rank, port, function, arguments):
    os.environ |= {
        "LOCAL_RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    function(*arguments)
