"""Progress bars, shown on a terminal only."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from lightly_memloc.runtime.printable import printable

T = TypeVar("T")


def tracked(items: Iterable[T], total: int, description: str) -> Iterator[T]:
    """Iterate with a progress bar on standard error if that is a terminal.

    Args:
        items: The items.
        total: Number of items.
        description: Text beside the bar.

    Yields:
        The items.
    """
    console = Console(stderr=True)
    with Progress(
        console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(escape(printable(description)), total=total)
        for item in items:
            yield item
            progress.advance(task)
