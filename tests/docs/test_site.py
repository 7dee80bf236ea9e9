import importlib
import re
import subprocess
import sys
import threading
from functools import partial
from html import unescape
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

import lightly_memloc
from lightly_memloc import load_result
from lightly_memloc.cli.app import app
from lightly_memloc.report import to_svg

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "data",
    "estimation",
    "functional",
    "interventions",
    "layers",
    "metrics",
    "probes",
    "report",
    "results",
    "training",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory, environment):
    """The built site; the build is strict, and warns of nothing."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    run = subprocess.run(
        [*build, "--site-dir", str(folder)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "WARNING" not in run.stderr
    return folder


class Loaded(HTMLParser):
    """What a browser loads for a page: addresses in all tags but links to click."""

    def __init__(self, page):
        super().__init__()
        self.addresses = []
        self.ids = set()
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.ids.add(named.get("id"))
        if tag != "a":
            names = ("src", "href", "data", "poster", "srcset", "action", "xlink:href")
            self.addresses += [named[name] for name in names if named.get(name)]


def pages(site):
    return {page.relative_to(site): page.read_text() for page in site.rglob("*.html")}


def test_no_page_loads_anything_from_the_network(site):
    found = pages(site)
    assert len(found) > 25
    for name, html in found.items():
        loaded = Loaded(html).addresses
        assert loaded, name
        for address in loaded:
            assert not re.match(r"(\w+:)?//", address), (name, address)
        # These are what makes the theme's script load something.
        assert 'data-md-component="source"' not in html
        assert 'class="mermaid"' not in html


def test_no_style_loads_anything_from_the_network(site):
    styles = [*site.rglob("*.css")]
    assert styles
    for text in [*(s.read_text() for s in styles), *pages(site).values()]:
        assert not re.search(r"url\(\s*[\"']?(https?:)?//", text)
        assert not re.search(r"@import", text)


def test_a_page_that_loads_something_is_noticed():
    page = '<a href="https://a.org"></a><script src="https://b.org/x.js"></script>'
    assert Loaded(page).addresses == ["https://b.org/x.js"]


def test_formulas_need_no_script(site):
    html = (site / "concepts.html").read_text()
    formulas = re.findall(r"<math.*?</math>", html, flags=re.DOTALL)
    # As many as the page has between dollars.
    markdown = (ROOT / "docs" / "concepts.md").read_text()
    written = re.findall(r"\$\$.+?\$\$|\$.+?\$", markdown, flags=re.DOTALL)
    assert len(formulas) == len(written) > 10
    assert not any("\\" in formula for formula in formulas)
    assert "arithmatex" not in html


def test_every_public_name_is_in_the_reference(site):
    ids = set()
    for page in (site / "reference").glob("*.html"):
        ids |= Loaded(page.read_text()).ids
    missing = [
        f"{module.__name__}.{name}"
        for module in [
            lightly_memloc,
            *(importlib.import_module(f"lightly_memloc.{p}") for p in PACKAGES),
        ]
        for name in module.__all__
        # A package has pages for what it contains.
        if not isinstance(getattr(module, name), ModuleType)
        and not ids & _paths(module, name)
    ]
    assert missing == []


def test_docstrings_show_their_formulas_links_and_sources(site):
    html = (site / "reference" / "functional.html").read_text()
    assert len(re.findall(r'<math [^>]*display="block"', html)) == 4
    assert "[0] SSLMem, 2024, <a" in html
    for page in (site / "reference").glob("*.html"):
        assert not re.search(r":\w+:(`|<code>)|\.\. math::", page.read_text())
    metrics = (site / "reference" / "metrics.html").read_text()
    assert 'href="functional.html#lightly_memloc.functional.member_share' in metrics


def _paths(module, name):
    """The names under which an object may stand in the reference."""
    value = getattr(module, name)
    home = getattr(value, "__module__", module.__name__)
    public = {f"{home.rpartition('.')[0]}.{name}", f"{home}.{name}"}
    return {f"{module.__name__}.{name}", *public, f"lightly_memloc.{name}"}


def test_every_command_is_in_the_reference(site):
    html = (site / "reference" / "cli.html").read_text()
    for command in app.registered_commands:
        name = command.name or command.callback.__name__.replace("_", "-")
        assert f'id="lightly-memloc-{name}"' in html
        assert f"$ lightly-memloc {name} " in re.sub(r"<[^>]+>", "", html)


def test_each_tutorial_links_its_notebook(site):
    tutorials = sorted((site / "tutorials").glob("*.html"))
    assert len(tutorials) == 6
    for page in tutorials:
        notebook = page.with_suffix(".ipynb")
        assert f'href="{notebook.name}"' in page.read_text()
        nbformat.validate(nbformat.read(notebook, as_version=4))


def test_figures_and_tables_are_those_of_committed_results(site):
    page = (site / "results" / "interventions.html").read_text()
    assert 'src="../figures/interventions/prune-0.5/accuracy.svg"' in page
    drawn = (site / "figures/interventions/prune-0.5/accuracy.svg").read_text()
    result = load_result(ROOT / "docs/results/interventions/prune-0.5")
    assert drawn == to_svg(result.plot()[0])
    html = (site / "index.html").read_text()
    readme = (ROOT / "README.md").read_text()
    row = next(line for line in readme.splitlines() if line.startswith("pool "))
    assert row in unescape(re.sub(r"<[^>]+>", "", html))


@pytest.fixture(scope="module")
def address(site):
    """Where the site is served."""
    handler = partial(QuietHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("path", ["index.html", "concepts.html", "reference/cli.html"])
def test_pages_open_without_complaints_or_requests_elsewhere(
    browser, address, path, width
):
    complaints, requests = [], []
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: requests.append(asked.url))
    page.goto(f"{address}/{path}", wait_until="networkidle")
    assert complaints == []
    assert [
        url for url in requests if not url.startswith((address, "data:", "blob:"))
    ] == []
    assert page.locator("h1").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    broken = page.locator("img").evaluate_all(
        "images => images.filter(image => !image.naturalWidth).map(image => image.src)"
    )
    assert broken == []
    page.close()


def test_the_start_page_leads_to_the_report_of_the_demo(browser, address):
    complaints = []
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.on("console", lambda said: complaints.append(said.text))
    page.goto(f"{address}/index.html")
    page.click("text=report of the demo")
    page.wait_for_selector(".chart svg")
    assert page.locator(".unit").count() == 20
    assert page.locator("#images img").count() == 24
    assert complaints == []
    page.close()
