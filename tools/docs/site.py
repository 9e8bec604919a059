"""What the site adds to `docs/`, as hooks of MkDocs: root pages, API pages, files that pages link to; no other host.

The pages are written for GitHub, where links go from file to file. Here the same links lead to the site's pages:
README.md becomes the front page, and a linked file outside `docs/` a page that shows it. The API pages are found
by walking `src/auscult`: no module's name is written by hand, and nothing is imported (mkdocstrings reads the source).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ROOT_PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
API = "api"
SHOWN = "files"
# A search finds the guides first.
API_PAGE = "---\ntitle: {module}\nsearch:\n  boost: 0.0005\n---\n\n::: {module}\n"
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".json": "json", ".smk": "python"}

_FENCED = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
_FOREIGN = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//|<link\b[^>]*\brel=["']?stylesheet[^>]*//"""
)

NavItem = dict[str, Any] | str


def on_config(config: Any) -> Any:
    """Put the API's pages, one a module, at their place in the navigation."""
    config["nav"] = [
        {title: api_nav()} if page == API else entry for entry in config["nav"] for title, page in entry.items()
    ]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that no file of `docs/` holds."""
    from mkdocs.structure.files import File  # noqa: PLC0415 (the tests of this module need no MkDocs)

    for path, text in generated_pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead a page's links to the site's pages."""
    return lead_links(markdown, source_of(page.file.src_uri), page.file.src_uri)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page that loads something from another host: the site is read offline, and tells nobody who reads it.

    Raises:
        ValueError: If a script, a style or a picture of the page comes from the network.
    """
    if found := _FOREIGN.search(output):
        raise ValueError(f"{page.file.src_uri} loads from the network: {found.group()}")
    return output


def generated_pages() -> dict[str, str]:
    """Pages of the site that stand nowhere in `docs/`, by their path there: root pages, API, shown files."""
    root_pages = {path: (ROOT / name).read_text(encoding="utf-8") for name, path in ROOT_PAGES.items()}
    api_pages = {page: API_PAGE.format(module=module) for module, page in modules()}
    return root_pages | api_pages | {f"{SHOWN}/{path}.md": shown(ROOT / path) for path in linked_files()}


def modules() -> Iterator[tuple[str, str]]:
    """Every module below `src/auscult` with the path of its page: `("auscult.audio", "api/auscult/audio/index.md")`."""
    for file in sorted((ROOT / "src").rglob("*.py")):
        parts = file.relative_to(ROOT / "src").with_suffix("").parts
        # What lies in a folder that is no package is no module of auscult: a plugin that Snakemake finds by itself.
        in_packages = all(
            (ROOT / "src").joinpath(*parts[:depth], "__init__.py").is_file() for depth in range(1, len(parts))
        )
        if parts[-1] == "__main__" or not in_packages:
            continue
        is_package = parts[-1] == "__init__"
        name = parts[:-1] if is_package else parts
        yield ".".join(name), f"{API}/{'/'.join(name)}{'/index' if is_package else ''}.md"


def api_nav() -> list[NavItem]:
    """The modules' pages as MkDocs' navigation: a package's own page, then what lies in it."""
    return _nav_below([(module.split(".")[1:], page) for module, page in modules()])


def _nav_below(pages: list[tuple[list[str], str]]) -> list[NavItem]:
    items: list[NavItem] = [page for name, page in pages if not name]
    for head in dict.fromkeys(name[0] for name, _ in pages if name):
        inside = [(name[1:], page) for name, page in pages if name[:1] == [head]]
        items.append({head: inside[0][1] if len(inside) == 1 else _nav_below(inside)})
    return items


def linked_files() -> list[str]:
    """Files and folders outside `docs/` that a page links to, from the repository's root; MkDocs names dead ones."""
    pages = [ROOT / name for name in ROOT_PAGES] + sorted((ROOT / "docs").rglob("*.md"))
    targets = {_target(link, page) for page in pages for link in links(page.read_text(encoding="utf-8"))}
    outside = {target for target in targets if target and not target.startswith("docs/")} - ROOT_PAGES.keys()
    return sorted(target for target in outside if (ROOT / target).exists())


def links(markdown: str) -> list[str]:
    """The targets of a page's links and pictures, outside code.

    >>> links("[a](b.md#c) `[no](d)`")
    ['b.md#c', 'd']
    """
    return _LINK.findall(_FENCED.sub("", markdown))


def _target(link: str, page: Path) -> str | None:
    """Where a relative link leads, from the repository's root; None for an anchor or an address."""
    path = link.partition("#")[0]
    if not path or "://" in link or link.startswith("mailto:"):
        return None
    return os.path.relpath(page.parent / path, ROOT).replace(os.sep, "/")


def shown(path: Path) -> str:
    """A page that shows a file, or each file of a folder."""
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    parts = [f"# {path.relative_to(ROOT).as_posix()}\n"]
    for file in files:
        title = f"\n## {file.name}\n" if path.is_dir() else ""
        parts.append(f"{title}\n````{LANGUAGES.get(file.suffix, 'text')}\n{file.read_text(encoding='utf-8')}````\n")
    return "".join(parts)


def source_of(page: str) -> Path:
    """The file in the repository that a page of the site was written in."""
    by_page = {path: name for name, path in ROOT_PAGES.items()}
    return ROOT / by_page.get(page, f"docs/{page}")


def lead_links(markdown: str, source: Path, page: str) -> str:
    """A page's text with its links led from files of the repository to pages of the site; code stays as it is."""
    return _outside_code(markdown, lambda text: _LINK.sub(lambda link: _led(link.group(), source, page), text))


def _outside_code(markdown: str, change: Callable[[str], str]) -> str:
    done, parts = 0, []
    for fence in _FENCED.finditer(markdown):
        parts += [change(markdown[done : fence.start()]), fence.group()]
        done = fence.end()
    return "".join([*parts, change(markdown[done:])])


def _led(link: str, source: Path, page: str) -> str:
    target = _target(link, source)
    if target is None:
        return link
    _, hash_sign, anchor = link.partition("#")
    return os.path.relpath(_page_of(target), PurePosixPath(page).parent) + hash_sign + anchor


def _page_of(target: str) -> str:
    if target in ROOT_PAGES:
        return ROOT_PAGES[target]
    return target.removeprefix("docs/") if target.startswith("docs/") else f"{SHOWN}/{target}.md"
