import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from page_notebooks import notebook_of

TUTORIALS = sorted((Path(__file__).parents[2] / "docs" / "tutorials").glob("*.md"))


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_notebook_has_all_of_its_page(page):
    markdown = page.read_text()
    written = nbformat.writes(notebook_of(markdown))
    notebook = nbformat.reads(written, as_version=4)
    nbformat.validate(notebook)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) == markdown.count("\n```python") + markdown.count("\n```bash")
    lines = {line for cell in notebook.cells for line in cell.source.splitlines()}
    for line in markdown.splitlines():
        links_or_fence = "](" in line or line.startswith("```")
        assert links_or_fence or line in lines
    assert json.loads(written)["metadata"]["kernelspec"]["name"] == "python3"


def test_cells():
    notebook = notebook_of(
        "# Title\n\nSee [there](../there.md) and [this](https://example.org).\n\n"
        '```python\nx = 1\n```\n\n```bash\nls\n```\n\n```python title="a.py"\ny = 2\n```\n'
        "\n```toml\n[z]\n```\n"
    )
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        ("markdown", "# Title\n\nSee there and [this](https://example.org)."),
        ("code", "x = 1"),
        ("code", "%%bash -e\nls"),
        ("code", "%%writefile a.py\ny = 2"),
        ("markdown", "```toml\n[z]\n```"),
    ]


@pytest.mark.slow
def test_a_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (page,) = (page for page in TUTORIALS if page.stem == "measure-a-checkpoint")
    # The page's numbers are for a reader; fewer images show that it runs.
    markdown = page.read_text().replace("150, 150, 150", "20, 20, 20")
    notebook = notebook_of(markdown.replace("range(600", "range(80"))
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    assert (tmp_path / "runs/tutorial/f.ckpt").exists()
    assert (tmp_path / "results/unit-mem/result.json").exists()
    printed = [
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stdout"
    ]
    assert any("member_share_p" in text for text in printed)
