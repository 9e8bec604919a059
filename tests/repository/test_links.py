"""Links between the pages lead somewhere, on GitHub as on the site. The site's own build looks at the API too."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])
FENCED = re.compile(r"^```.*?^```[ \t]*$", re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", page.read_text(encoding="utf-8")))


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def fault(page: Path, link: str) -> str | None:
    """Why a link leads nowhere, or None."""
    if "://" in link:
        return None
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return f"{link}: no such file"
    if anchor and target.suffix == ".md" and anchor not in anchors(target.read_text(encoding="utf-8")):
        return f"{link}: no such heading"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    assert [found for link in links(page) if (found := fault(page, link))] == []


def test_the_pages_are_those_that_a_reader_is_sent_to() -> None:
    names = {page.name for page in PAGES}
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "researcher.md", "own-data.md", "developer.md"} <= names
    assert sum(len(links(page)) for page in PAGES) > 50


def test_a_dead_link_and_a_dead_anchor_are_found(tmp_path: Path) -> None:
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    page.write_text(
        "[a](other.md#a-heading) [b](other.md#none) [c](gone.md) [d](#it-is)\n\n## It is!\n\n```\n[e](code.md)\n```\n"
    )
    other.write_text("# A heading\n")
    assert [fault(page, link) for link in links(page)] == [
        None,
        "other.md#none: no such heading",
        "gone.md: no such file",
        None,
    ]
