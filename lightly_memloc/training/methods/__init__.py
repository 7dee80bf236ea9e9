"""Training methods, registered by name.

To add a method, add a module to this folder with a subclass of Method.
"""

import pkgutil
from difflib import get_close_matches
from importlib import import_module

from lightly_memloc.errors import MemorizationError
from lightly_memloc.training.methods.method import Method

for _module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["Method", "method_class"]


def method_class(name: str) -> type[Method]:
    """Look a method up by its name.

    Raises:
        MemorizationError: If there is no such method.
    """
    if name not in Method.registry:
        near = get_close_matches(name, Method.registry, n=1)
        advice = f"did you mean {near[0]!r}? Choose from" if near else "choose from"
        raise MemorizationError(
            f"Unknown method {name!r}; {advice} {', '.join(sorted(Method.registry))}."
        )
    return Method.registry[name]
