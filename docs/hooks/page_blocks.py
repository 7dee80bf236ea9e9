"""The code blocks of a page of Markdown, and the prose between them."""

import re
from dataclasses import dataclass

_FENCE = re.compile(
    r'^```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?\n(?P<code>.*?)^```$',
    flags=re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A piece of a page: prose or a code block.

    Attributes:
        text: The prose as Markdown, or the code without its fence.
        language: The code's language; None for prose.
        title: The file that the code is written to, if any.
        line: Number of lines of the page before the code.
    """

    text: str
    language: str | None = None
    title: str | None = None
    line: int = 0


def page_blocks(markdown: str) -> list[Block]:
    """Divide a page into prose and code blocks, in their order."""
    blocks, end = [], 0
    for fence in _FENCE.finditer(markdown):
        blocks.append(Block(markdown[end : fence.start()].strip()))
        line = markdown.count("\n", 0, fence.start("code"))
        blocks.append(Block(fence["code"], fence["language"], fence["title"], line))
        end = fence.end()
    blocks.append(Block(markdown[end:].strip()))
    return [block for block in blocks if block.text]
