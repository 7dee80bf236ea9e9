from functools import partial

from lightly_memloc.training import ResNet9

make = partial(ResNet9, width=16)


def broken():
    return ResNet9(width=1 // 0)
