"""Figures of a result, each drawn when it is asked for."""

from collections.abc import Callable, Iterator, Mapping

from matplotlib.figure import Figure


class Figures(Mapping[str, Figure]):
    """Figures by name, each drawn when it is first asked for.

    Args:
        drawings: What draws each figure, by its name.
    """

    def __init__(self, drawings: Mapping[str, Callable[[], Figure]]) -> None:
        self._drawings = drawings
        self._drawn: dict[str, Figure] = {}

    def __getitem__(self, name: str) -> Figure:
        if name not in self._drawn:
            self._drawn[name] = self._drawings[name]()
        return self._drawn[name]

    def __contains__(self, name: object) -> bool:
        return name in self._drawings

    def __iter__(self) -> Iterator[str]:
        return iter(self._drawings)

    def __len__(self) -> int:
        return len(self._drawings)
