"""Links between files of the repository become links between pages of the site."""

import posixpath
import re
from dataclasses import dataclass, field

_CODE = re.compile(r"^(`{3,}|~{3,}).*?^\1|`[^`\n]+`", re.DOTALL | re.MULTILINE)
_HIDDEN = re.compile("\x00(\\d+)\x00")
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\(([^)\s]+)\)")
_ELSEWHERE = re.compile(r"[a-z][a-z+.-]*:", re.IGNORECASE)


def hide_code(text: str) -> tuple[str, list[str]]:
    """Replace each piece of code in Markdown by a mark.

    Returns:
        The text with marks, and the pieces, for `show_code`.
    """
    code: list[str] = []

    def hide(found: re.Match[str]) -> str:
        code.append(found.group())
        return f"\x00{len(code) - 1}\x00"

    return _CODE.sub(hide, text), code


def show_code(text: str, code: list[str]) -> str:
    """Put the pieces of code back."""
    return _HIDDEN.sub(lambda found: code[int(found.group(1))], text)


def anchor_of(heading: str) -> str:
    """How a link names a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@dataclass
class Links:
    """Where each file of the repository is found on the site.

    Attributes:
        pages: Path in the repository -> source of its page.
        anchors: (path, anchor) -> source of the page, where a file becomes several pages.
        files: Path in the repository -> path of the same file on the site.
        web: Address of the repository's files, or "" where no repository is known.
    """

    pages: dict[str, str] = field(default_factory=dict)
    anchors: dict[tuple[str, str], str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    web: str = ""

    def retarget(self, text: str, source: str, page: str) -> str:
        """Make the links of a text lead to pages of the site.

        What is neither a page nor a file of the site is linked in the repository. Where no
        repository is known, only the link's text stays.

        Args:
            text: Markdown.
            source: Path of its file in the repository.
            page: Source of the page that it becomes.
        """
        here = posixpath.dirname(page)

        def change(found: re.Match[str]) -> str:
            words, target = found.groups()
            if _ELSEWHERE.match(target):
                return found.group()
            path, _, anchor = target.partition("#")
            path = posixpath.normpath(posixpath.join(posixpath.dirname(source), path or "."))
            if not target.partition("#")[0]:
                path = source
            to = self.anchors.get((path, anchor)) or self.pages.get(path)
            if to == page and anchor:
                return f"[{words}](#{anchor})"
            if to:
                return f"[{words}]({posixpath.relpath(to, here)}{'#' + anchor if anchor else ''})"
            if path in self.files:  # as HTML, since MyST would copy the file once more
                return f'<a href="{posixpath.relpath(self.files[path], here)}">{words}</a>'
            where = f"{self.web}/{path}{'#' + anchor if anchor else ''}"
            return f"[{words}]({where})" if self.web else words

        hidden, code = hide_code(text)
        return show_code(_LINK.sub(change, hidden), code)
