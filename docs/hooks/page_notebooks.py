"""Generate a notebook from each tutorial."""

import re
from pathlib import PurePosixPath

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from page_blocks import Block, page_blocks

_FOLDER = "tutorials"
_IMAGE = re.compile(r"^!\[[^\]]*\]\([^)]*\)\n*", flags=re.MULTILINE)
# Relative links do not work in a downloaded notebook.
_RELATIVE_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]+\)")


def notebook_of(markdown: str) -> NotebookNode:
    """Make the notebook of a page.

    Python and shell blocks become code cells. Blocks with a title are written to files.
    Blocks of other languages stay text.
    """
    notebook = new_notebook(cells=[_cell(block) for block in page_blocks(markdown)])
    for number, cell in enumerate(notebook.cells):
        # Random ids would change the file in every build.
        cell.id = f"cell-{number}"
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    nbformat.validate(notebook)
    return notebook


def _cell(block: Block) -> NotebookNode:
    code = block.text.rstrip("\n")
    if block.language is None:
        prose = _RELATIVE_LINK.sub(r"\1", _IMAGE.sub("", block.text))
        return new_markdown_cell(prose)
    if block.title is not None:
        return new_code_cell(f"%%writefile {block.title}\n{code}")
    if block.language == "bash":
        return new_code_cell(f"%%bash -e\n{code}")
    if block.language == "python":
        return new_code_cell(code)
    return new_markdown_cell(f"```{block.language}\n{code}\n```")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the notebook of each tutorial."""
    for page in files.documentation_pages():
        if page.src_uri.startswith(f"{_FOLDER}/"):
            name = str(PurePosixPath(page.src_uri).with_suffix(".ipynb"))
            content = nbformat.writes(notebook_of(page.content_string))
            files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Link the notebook below a tutorial's title."""
    source = PurePosixPath(page.file.src_uri)
    if source.parts[0] != _FOLDER:
        return markdown
    title, _, rest = markdown.partition("\n")
    link = f"[Download this page as a notebook]({source.stem}.ipynb)"
    return f"{title}\n\n{link}\n{rest}"
