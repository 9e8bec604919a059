"""What tools/docs/site.py adds to the site; the site itself is built by `make docs`, which CI runs."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml

Tool = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def site(tool: Tool) -> ModuleType:
    return tool("docs/site.py")


def pages_of(nav: list) -> list[str]:
    """Every page that a navigation names, from top to bottom."""
    found: list[str] = []
    for entry in nav:
        values = list(entry.values()) if isinstance(entry, dict) else [entry]
        for value in values:
            found += pages_of(value) if isinstance(value, list) else [value]
    return found


def test_each_module_has_a_page_and_its_place_in_the_navigation(site: ModuleType, project_dir: Path) -> None:
    source = project_dir / "src" / "auscult"
    found = [path for path in source.rglob("*.py") if path.name != "__main__.py"]
    files = [path for path in found if "snakemake_plugins" not in path.parts]
    assert len(found) == len(files) + 2
    pages = dict(site.modules())
    assert len(pages) == len(files)
    assert pages["auscult"] == "api/auscult/index.md"
    assert pages["auscult.config"] == "api/auscult/config/index.md"
    assert pages["auscult.config.schema"] == "api/auscult/config/schema.md"
    assert sorted(pages_of(site.api_nav())) == sorted(pages.values())


def test_a_package_comes_before_what_lies_in_it(site: ModuleType) -> None:
    (config,) = [entry["config"] for entry in site.api_nav() if isinstance(entry, dict) and "config" in entry]
    assert config[0] == "api/auscult/config/index.md"
    assert {"schema": "api/auscult/config/schema.md"} in config


def test_each_page_of_docs_has_its_place_in_the_navigation(site: ModuleType, project_dir: Path) -> None:
    nav = yaml.safe_load((project_dir / "mkdocs.yml").read_text())["nav"]
    written = {path.relative_to(project_dir / "docs").as_posix() for path in (project_dir / "docs").rglob("*.md")}
    assert set(pages_of(nav)) == written | set(site.ROOT_PAGES.values()) | {site.API}


@pytest.mark.parametrize(
    ("page", "link", "led"),
    [
        ("index.md", "docs/training.md#batches", "training.md#batches"),
        ("index.md", "CONTRIBUTING.md", "contributing.md"),
        ("index.md", "config/datasets/fsdd.yaml", "files/config/datasets/fsdd.yaml.md"),
        ("index.md", "docs/report.png", "report.png"),
        ("cluster.md", "../slurm-gpu/config.yaml", "files/slurm-gpu/config.yaml.md"),
        ("researcher.md", "../README.md#start", "index.md#start"),
        ("cluster.md", "#proof", "#proof"),
        ("cluster.md", "https://example.org/a.md", "https://example.org/a.md"),
    ],
)
def test_a_link_leads_to_the_same_place_on_the_site(site: ModuleType, page: str, link: str, led: str) -> None:
    assert site.lead_links(f"see [it]({link}).", site.source_of(page), page) == f"see [it]({led})."


def test_code_is_no_link(site: ModuleType) -> None:
    text = "```python\nrows[0](docs/training.md)\n```\n"
    assert site.lead_links(text, site.source_of("index.md"), "index.md") == text


def test_a_linked_file_and_each_file_of_a_linked_folder_is_shown(site: ModuleType, project_dir: Path) -> None:
    pages = site.generated_pages()
    settings = (project_dir / "slurm-gpu" / "config.yaml").read_text()
    assert settings in pages["files/slurm-gpu/config.yaml.md"]
    assert "````yaml\n" in pages["files/slurm-gpu/config.yaml.md"]
    assert all(f"\n## {name}.sh\n" in pages["files/profiles/generic.md"] for name in ("submit", "status", "cancel"))


def test_examples_of_a_docstring_are_fenced_up_to_the_blank_line(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "griffe", SimpleNamespace(Extension=object, Object=object))
    docstring = "Cut.\n\n>>> cut(1)\n[(0, 1)]\n>>> cut(\n...     2)\n  [1]\n\nMore.\n    >>> x\n"
    assert tool("docs/doctests.py").fenced(docstring) == (
        "Cut.\n\n```pycon\n>>> cut(1)\n[(0, 1)]\n>>> cut(\n...     2)\n  [1]\n```\n\nMore.\n"
        "    ```pycon\n    >>> x\n    ```\n"
    )


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://unpkg.com/x.js"></script>',
        '<img alt="" src="//cdn.example/x.png">',
        '<link rel="stylesheet" href="https://fonts.googleapis.com/css">',
    ],
)
def test_a_page_that_loads_from_another_host_is_refused(site: ModuleType, tag: str) -> None:
    page = SimpleNamespace(file=SimpleNamespace(src_uri="index.md"))
    with pytest.raises(ValueError, match=r"index\.md loads from the network"):
        site.on_post_page(f"<p>{tag}</p>", page=page)
    own = '<script src="assets/x.js"></script><a href="https://example.org">a link is none</a>'
    assert site.on_post_page(own, page=page) == own
