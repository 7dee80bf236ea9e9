"""Registries of evaluators and callbacks, which other packages can extend."""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, cast

from lightly_memloc.errors import MemorizationError

T = TypeVar("T")
C = TypeVar("C")


class Registry(Generic[T]):
    """Classes by name: registered ones and the entry points of other packages.

    Other packages add a class with an entry point in their ``pyproject.toml``::

        [project.entry-points."memloc.evaluators"]
        my_metric = "my_package:MyEvaluator"

    Args:
        group: The group of the entry points.

    Examples:
        >>> from lightly_memloc.evaluators import EVALUATORS
        >>> EVALUATORS["unit_mem"].__name__
        'UnitMemEvaluator'
    """

    def __init__(self, group: str) -> None:
        self.group = group
        self._registered: dict[str, T] = {}

    def register(self, name: str) -> Callable[[C], C]:
        """Return a decorator that registers a class.

        Args:
            name: The name.

        Raises:
            MemorizationError: If the name is taken.
        """

        def add(entry: C) -> C:
            if name in self._registered:
                raise MemorizationError(
                    f"There is already a {self._noun} {name!r}: choose another name."
                )
            self._registered[name] = cast(T, entry)
            return entry

        return add

    @property
    def _noun(self) -> str:
        """What the group's entries are: the group is named after many of them."""
        return self.group.rpartition(".")[2].removesuffix("s")

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._registered | self._entry_points())

    def __getitem__(self, name: str) -> T:
        """Return the class with a name.

        Raises:
            MemorizationError: If the name is unknown or its package cannot be imported.
        """
        if name in self._registered:
            return self._registered[name]
        entry_point = self._entry_points().get(name)
        if entry_point is None:
            raise MemorizationError(
                f"There is no {self._noun} {name!r}. Expected one of "
                f"{', '.join(self.names())}."
            )
        try:
            entry: T = entry_point.load()
        except Exception as error:
            raise MemorizationError(
                f"The {self._noun} {name!r} is {entry_point.value} of another package, "
                f"which cannot be imported ({error})."
            ) from error
        return entry

    def _entry_points(self) -> dict[str, Any]:
        return {point.name: point for point in entry_points(group=self.group)}
