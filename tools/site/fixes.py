"""Sphinx extension: what the theme and Markdown leave to be wished for."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

DESCRIPTION_LENGTH = 200


def bare_tables(app: Sphinx, document: nodes.document) -> None:
    """Take away the headers of tables that have nothing in them; the first column is the header."""
    for group in list(document.findall(nodes.tgroup)):
        (head,) = group.findall(nodes.thead)
        if head.astext().strip():
            continue
        group.remove(head)
        next(group.findall(nodes.colspec))["stub"] = 1
        group.parent["classes"].append("bare")


def plain_boxes(app: Sphinx, document: nodes.document) -> None:
    """Make the boxes of task lists signs to tick on paper; nobody could tick them here."""
    for raw in list(document.findall(nodes.raw)):
        if "task-list-item-checkbox" in raw.astext():
            sign = '<span class="box" aria-hidden="true"></span> '
            raw.replace_self(nodes.raw("", sign, format="html"))


def description(document: nodes.document) -> str:
    """The first paragraph of a page, cut at a word."""
    paragraphs = (p for p in document.findall(nodes.paragraph) if p.astext().strip())
    words = next(paragraphs, nodes.paragraph()).astext().split()
    text = ""
    for word in words:
        if len(text) + len(word) > DESCRIPTION_LENGTH:
            return f"{text} …"
        text = f"{text} {word}".strip()
    return text


def complete(
    app: Sphinx, page: str, template: str, context: dict[str, Any], document: nodes.document | None
) -> None:
    """Give a page its description, and the download button only to notebooks."""
    if document is not None:
        says = app.config.page_descriptions.get(page) or description(document)
        escaped = says.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
        context["metatags"] = (
            context.get("metatags", "") + f'<meta name="description" content="{escaped}">\n'
        )
    buttons = []
    for button in context.get("header_buttons", []):
        if button["label"] == "download-buttons":
            button["buttons"] = [b for b in button["buttons"] if b["text"] != ".md"]
            for inner in button["buttons"]:
                if inner["text"] == ".ipynb":
                    inner |= {"text": "Notebook", "tooltip": "Download this notebook"}
                elif inner["text"] == ".pdf":
                    inner |= {"text": "Print", "tooltip": "Print, or save as PDF"}
            button |= {"tooltip": "Download or print this page"}
        buttons.append(button)
    context["header_buttons"] = buttons


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_config_value("page_descriptions", {}, "html", dict)
    app.connect("doctree-read", bare_tables)
    app.connect("doctree-read", plain_boxes)
    app.connect("html-page-context", complete, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
