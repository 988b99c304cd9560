"""Reads the pages of the documentation: their code blocks, links and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCED = re.compile(
    r"^(?:<!-- (?P<cue>[^>]*) -->\n)?```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: ``info`` is what stands behind the fence, ``cue`` an invisible comment right above it."""

    info: str
    text: str
    cue: str

    @property
    def language(self) -> str:
        return self.info.partition(" ")[0]

    @property
    def role(self) -> str:
        """What the tests are told about it; readers see the language only."""
        return self.info.partition(" ")[2]


@dataclass(frozen=True, slots=True)
class Page:
    """One Markdown file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @property
    def blocks(self) -> Sequence[Block]:
        return [Block(found["info"], found["text"], found["cue"] or "") for found in FENCED.finditer(self.text)]

    def blocks_of(self, language: str, role: str | None = None) -> Sequence[str]:
        return [b.text for b in self.blocks if b.language == language and (role is None or b.role == role)]

    @property
    def links(self) -> Iterator[str]:
        """Relative links; what is in code blocks is none."""
        for target in LINK.findall(FENCED.sub("", self.text)):
            if "://" not in target and not target.startswith("mailto:"):
                yield target

    @property
    def anchors(self) -> set[str]:
        """What a link may name behind ``#``, as GitHub makes it of the headings."""
        titles = HEADING.findall(FENCED.sub("", self.text))
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def page(name: str) -> Page:
    """A page by its path in the checkout."""
    return Page(ROOT / name)


def all_pages() -> Sequence[Page]:
    """README, the other pages at the top, and everything in docs/."""
    return [Page(path) for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])]
