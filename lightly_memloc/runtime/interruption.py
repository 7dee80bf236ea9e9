"""Signals that end a command, delivered where nothing is lost."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# SIGHUP comes from a terminal that is closed; Windows has none.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupted(BaseException):
    """A signal asked this process to end.

    Like ``KeyboardInterrupt``, it is no ``Exception``: what handles errors lets it pass.
    Lightning turns a ``KeyboardInterrupt`` into an exit, and this not.

    Args:
        number: Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class _Received:
    """The signal that was received while its delivery was deferred."""

    number: int | None = None
    is_deferred = False


_received = _Received()


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise :class:`Interrupted` on SIGINT, SIGTERM and SIGHUP within the context.

    For commands: a program that calls this package decides itself what signals do. A
    second signal ends the process at once.

    Raises:
        Interrupted: On a signal, unless its delivery is deferred.
    """
    process = os.getpid()

    def receive(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:
            # Processes that load images end with their parent.
            if number != signal.SIGINT:
                os._exit(128 + number)
            return
        if _received.number is not None:
            os._exit(128 + number)
        _received.number = number
        if not _received.is_deferred:
            raise Interrupted(number)

    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    before = {number: signal.signal(number, receive) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _received.number = None


@contextmanager
def deferred_interruption() -> Iterator[None]:
    """Deliver signals only where :func:`stop_if_interrupted` is called, and at the end.

    A measurement that stops between two batches can save a consistent state.

    Raises:
        Interrupted: At the end, if a signal was received.
    """
    before, _received.is_deferred = _received.is_deferred, True
    try:
        yield
    finally:
        _received.is_deferred = before
    stop_if_interrupted()


def received() -> int | None:
    """Return the number of the signal that was received, if any."""
    return _received.number


def is_interrupted() -> bool:
    """Whether a signal was received."""
    return _received.number is not None


def stop_if_interrupted() -> None:
    """End the measurement if a signal was received.

    Raises:
        Interrupted: If so.
    """
    if _received.number is not None:
        raise Interrupted(_received.number)
