"""Every relative link of the pages leads somewhere: to a file that is there, and to a heading in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part == "node_modules" for part in path.relative_to(ROOT).parts)
)
FOLDERS: Final = ("service", "producer", "tools", "brokerkit", "histories", "bench", "config", "tests")
CODE: Final = re.compile(r"^(```|~~~).*?^\1[^\n]*$|^(?: {4}|\t)[^\n]*$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK: Final = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
HEADING: Final = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
MENTION: Final = re.compile(
    r'\b((?:docs/[\w/.-]+|README|DESIGN|CONTRIBUTING|CHANGELOG)\.md)(?:#([\w-]+)|, "([^"\n]+)")?'
)
OTHERS: Final = [
    *(
        path
        for name in FOLDERS
        for path in (ROOT / name).rglob("*")
        if path.suffix in {".py", ".yml", ".yaml", ".toml"}
    ),
    *(ROOT / name for name in ("pyproject.toml", "docker-compose.yml", "Dockerfile")),
]
ELSEWHERE: Final = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def links(text: str) -> Iterator[str]:
    """The targets of a page's links, without those to other hosts."""
    for target in LINK.findall(CODE.sub("", text)):
        if not ELSEWHERE.match(target):
            yield target


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in HEADING.findall(re.sub(r"^(```|~~~).*?^\1[^\n]*$", "", text, flags=re.MULTILINE | re.DOTALL)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        found.add(next(one for n in count() if (one := f"{slug}-{n}" if n else slug) not in found))
    return found


def broken(page: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    wrong = []
    for target in links(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text(encoding="utf-8"))):
            wrong.append(target)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_the_pages_are_found() -> None:
    assert {"README.md", "DESIGN.md", "docs/operations.md", "docs/decisions/README.md"} <= {
        str(page.relative_to(ROOT)) for page in PAGES
    }


def test_every_page_of_the_documents_can_be_reached_from_the_readme() -> None:
    reached, open_pages = set[Path](), [ROOT / "README.md"]
    while open_pages:
        page = open_pages.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            targets = (target.partition("#")[0] for target in links(page.read_text(encoding="utf-8")))
            open_pages += [(page.parent / target).resolve() for target in targets if target]
    assert set(PAGES) - reached == set()


def test_what_code_and_configuration_say_of_pages_is_there() -> None:
    wrong = []
    for file in OTHERS:
        for path, anchor, heading in MENTION.findall(file.read_text(encoding="utf-8")):
            page = ROOT / path
            text = page.read_text(encoding="utf-8") if page.is_file() else ""
            named = any(one.startswith(heading) for one in HEADING.findall(text))
            if not text or (anchor and anchor not in anchors(text)) or (heading and not named):
                wrong.append(f"{file.relative_to(ROOT)}: {path} {anchor}{heading}")
    assert wrong == []


def test_every_decision_says_what_was_seen_what_we_do_and_when_it_can_go() -> None:
    for page in (ROOT / "docs" / "decisions").glob("*.md"):
        for decision in re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            title = f"{page.name}: {decision.splitlines()[0]}"
            if not title.endswith("Measured before the benchmark"):
                assert re.search(r"^\*\*Seen\*\* \(20\d\d-\d\d-\d\d.*\)", decision, re.MULTILINE | re.DOTALL), title
                assert "\n\n**We** " in decision, title
                assert re.search(r"^\*\*(Can go\*\* |Stays\.\*\*)", decision, re.MULTILINE), title


def guide() -> dict[str, str]:
    """What CONTRIBUTING.md says about adding each thing."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| (?:a|an) \*\*(.+?)\*\*(.*) \|$", page, re.MULTILINE))


def not_there(text: str) -> list[str]:
    """The files, modules and names in backticks that a text mentions and the checkout does not have.

    NAME and FAULT stand for the new file's own. A name must be in one of the files that the same text mentions.
    """
    folder, files, missing = ROOT, list[Path](), list[str]()
    for mention in re.findall(r"`([^`\n]+)`", text):
        if found := re.fullmatch(r"python -m ([\w.]+).*", mention):
            path = ROOT / f"{found[1].replace('.', '/')}.py"
        elif re.fullmatch(r"[\w./-]+/|[\w./-]+\.(?:py|toml|yml|md)", mention):
            path = ROOT / mention if "/" in mention else folder / mention
            folder = path.parent
        else:
            if (name := re.fullmatch(r"\w+", mention)) and not any(name[0] in file.read_text() for file in files):
                missing.append(mention)
            continue
        if {"NAME", "FAULT"} & set(re.findall(r"[A-Z]+", path.name)):
            path = path.parent
        if not path.exists():
            missing.append(mention)
        elif path.is_file():
            files.append(path)
    return missing


@pytest.mark.parametrize("kind", guide())
def test_what_contributing_says_about_adding_something_is_there(kind: str) -> None:
    assert not_there(guide()[kind]) == []


def test_contributing_says_how_to_add_each_kind_of_thing() -> None:
    assert {"setting", "metric", "log event", "detector", "detector with state", "input format", "command"} <= {
        *guide()
    }
    for kind, text in guide().items():
        assert re.search(r"`(service|histories)/", text), kind


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("`service/core/gone.py`", ["service/core/gone.py"]),
        ("`service/core/task.py`: `PartitionTask`, `Gone`", ["Gone"]),
        ("`tests/unit/test_pages.py`, `test_gone.py`", ["test_gone.py"]),
        ("`service/gone/NAME.py`", ["service/gone/NAME.py"]),
        ("`python -m tools.gone rules`", ["python -m tools.gone rules"]),
        ("`service/core/detectors/NAME.py`, `python -m tools.kubernetes rules`, `docs/`", []),
    ],
)
def test_a_place_that_is_not_there_is_found(text: str, missing: list[str]) -> None:
    assert not_there(text) == missing


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("[a](b.md)", ["b.md"]),
        ("![a](b.svg) [c](#d)", ["b.svg", "#d"]),
        ("[![a](b.svg)](c.md)", ["c.md"]),
        ("`[a](b.md)`", []),
        ("    [a](b.md)", []),
        ("```\n[a](b.md)\n```", []),
        ("[a](https://example.com/b.md) [c](mailto:d@example.com)", []),
    ],
)
def test_a_link_is_one_outside_code(text: str, targets: list[str]) -> None:
    assert list(links(text)) == targets


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("Two words", "two-words"),
        ("`transaction.timeout.ms` is 1", "transactiontimeoutms-is-1"),
        ("What, and why?", "what-and-why"),
        ("[Linked](a.md) text", "linked-text"),
        ("`::` where", "-where"),
        ("[kafka]", "kafka"),
    ],
)
def test_an_anchor_is_githubs(heading: str, anchor: str) -> None:
    assert anchors(f"# {heading}\n") == {anchor}


def test_a_second_heading_of_the_same_name_is_numbered() -> None:
    assert anchors("# a\n## a\n") == {"a", "a-1"}


@pytest.mark.parametrize("target", ["gone.md", "there.md#gone", "#gone"])
def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, target: str) -> None:
    (tmp_path / "there.md").write_text("# here\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(f"# page\n[good](there.md#here) [good](#page) [bad]({target})\n", encoding="utf-8")
    assert broken(page) == [target]
