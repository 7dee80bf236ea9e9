import multiprocessing
import os
import signal
import time
from contextlib import suppress

import pytest

from lightly_memloc.runtime import (
    Interrupted,
    deferred_interruption,
    interruptible,
    is_interrupted,
    stop_if_interrupted,
)


def send(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_raised_as_no_error(number):
    def command():
        with interruptible(), suppress(Exception):
            send(number)

    with pytest.raises(Interrupted) as raised:
        command()
    assert raised.value.number == number
    assert not is_interrupted()


def test_a_deferred_signal_is_raised_where_it_is_asked_for():
    done = []

    def command():
        with interruptible(), deferred_interruption():
            for batch in range(4):
                stop_if_interrupted()
                if batch == 1:
                    send()
                    assert is_interrupted()
                done.append(batch)

    with pytest.raises(Interrupted):
        command()
    assert done == [0, 1]


def test_a_deferred_signal_is_raised_at_the_end():
    done = []

    def command():
        with interruptible():
            with deferred_interruption():
                send()
                done.append("the rest")
            done.append("what follows")

    with pytest.raises(Interrupted):
        command()
    assert done == ["the rest"]


def test_an_error_is_not_hidden_by_a_deferred_signal():
    def command():
        with interruptible(), deferred_interruption():
            send()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command()


def test_outside_of_commands_nothing_is_deferred():
    def program():
        with deferred_interruption():
            send(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        program()
    stop_if_interrupted()


def _ends_after_two(ready):
    with interruptible(), deferred_interruption():
        send()
        ready.set()
        send()
    os._exit(0)


def test_a_second_signal_ends_the_process_at_once():
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_ends_after_two, args=(ready,))
    process.start()
    process.join(timeout=30)
    assert ready.is_set()
    assert process.exitcode == 128 + signal.SIGTERM


def _sleeping(ready):
    ready.set()
    time.sleep(1)
    os._exit(0)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_processes_that_load_images_say_nothing(number, code, capfd):
    context = multiprocessing.get_context("fork")
    with interruptible():
        ready = context.Event()
        process = context.Process(target=_sleeping, args=(ready,))
        process.start()
        assert ready.wait(timeout=30)
        os.kill(process.pid, number)
        process.join(timeout=30)
    assert process.exitcode == code
    assert capfd.readouterr() == ("", "")
