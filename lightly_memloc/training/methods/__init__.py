"""Training methods: a class a file, registered by name.

A new method is a module here with a subclass of Method, imported below.
"""

from lightly_memloc.errors import MemorizationError
from lightly_memloc.training.methods.method import Method
from lightly_memloc.training.methods.simclr import SimCLR

__all__ = ["Method", "SimCLR", "method_class"]


def method_class(name: str) -> type[Method]:
    """Look a method up by its name.

    Raises:
        MemorizationError: If there is no such method.
    """
    if name not in Method.registry:
        raise MemorizationError(
            f"Unknown method {name!r}; choose one of {', '.join(Method.registry)}."
        )
    return Method.registry[name]
