"""Names as text to show: whatever they contain, it stays on its line."""


def printable(text: str) -> str:
    r"""Escape what a terminal or a page would act on instead of showing it.

    These are control characters, such as escape codes and line breaks, characters that
    change the direction of text, spaces other than the plain one, and bytes of file
    names that are not text. They are shown as Python writes them.

    Args:
        text: A name, or a text that contains names.

    Examples:
        >>> from lightly_memloc.runtime import printable
        >>> print(printable("cat\x1b[31m\n.png"))
        cat\x1b[31m\n.png
        >>> printable("日本語 ä.png")
        '日本語 ä.png'
    """
    if text.isprintable():
        return text
    return "".join(
        of if of.isprintable() else of.encode("unicode_escape").decode() for of in text
    )
