"""The errors and warnings that this package raises of its own accord."""

from lightly_memloc.runtime.printable import printable


class MemorizationError(ValueError):
    """Input that cannot be measured; the message says what to do about it."""

    def __str__(self) -> str:
        """Return the message; what names contain is escaped."""
        return printable(super().__str__())


class UnreadableImageError(MemorizationError):
    """An image that could not be read; the message starts with its file name."""


class DivergedError(MemorizationError):
    """A training whose loss or weights are no longer finite."""


class MemorizationWarning(UserWarning):
    """Something that was left out of a measurement, or limits what it can say."""

    def __str__(self) -> str:
        """Return the message; what names contain is escaped."""
        return printable(super().__str__())


class NonFiniteError(MemorizationError):
    """NaN or infinite values where a measurement needs numbers."""
