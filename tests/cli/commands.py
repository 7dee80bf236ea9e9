"""Command lines that several tests run."""

import sys

import pytest

from lightly_memloc.cli import app

OWN = ("--model", "tests.cli.encoder:make", "--transform", "simclr")
SIZES = ("--candidate", 8, "--independent", 8, "--external", 8)
SMALL = ("--backbone", "resnet9-slim", "--input-size", 16)
MEASURE = ("--views", 2, "--layers", "pool", "--layers", "layer3.residual")


def invoke(*arguments):
    """Run the command line in this process, and return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lightly-memloc", *map(str, arguments)])
        try:
            app.main()
        except SystemExit as stop:
            return stop.code or 0
    return 0


def train(images, out, *more):
    arguments = ["train", images, "--out", out, "--epochs", 1, "--batch-size", 8]
    return [*arguments, *SMALL, *SIZES, *more]


def train_runs(images, out, n_runs, *more):
    return train(images, out, "--runs", n_runs, *more)


def wrapped(out):
    """The lines of an output that are not commands to copy, which stay whole."""
    return [line for line in out.splitlines() if not line.startswith("As a page: ")]
