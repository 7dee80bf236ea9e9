"""Models by the dotted path of a function that makes them."""

import importlib
import os
import sys

from torch import nn

from lightly_memloc.errors import MemorizationError


def make_model(path: str) -> nn.Module:
    """Make a module with a factory given as ``package.module:function``.

    Modules in the working directory are found, too, as ``python -m`` finds them.

    Raises:
        MemorizationError: If there is no such factory or it makes no module.
    """
    module_name, _, factory_name = path.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        factory = getattr(importlib.import_module(module_name), factory_name)
    # The module is the user's: it may fail in any way.
    except Exception as error:
        raise MemorizationError(
            f"Cannot find the model {path!r} ({error}). Expected "
            "package.module:function, such as torchvision.models:resnet18."
        ) from error
    try:
        model = factory()
    except Exception as error:
        raise MemorizationError(
            f"{path}, called without arguments, failed with {type(error).__name__}: "
            f"{error}"
        ) from error
    if not isinstance(model, nn.Module):
        raise MemorizationError(
            f"{path} made a {type(model).__name__}; expected a torch.nn.Module."
        )
    return model
