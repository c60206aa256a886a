"""HTML and Markdown: one engine for all templates, and the box around a sentence."""

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from markupsafe import Markup

_BOX = (
    '<div role="status" style="border-left: 5px solid {{ colour }}; padding: 0.4em 0.8em; '
    'margin: 0.4em 0"><strong><span aria-hidden="true">{{ sign }}</span> {{ first }}</strong> '
    "{{ text }}</div>"
)
# What means something in Markdown; an underscore inside a word does not.
_MARKS = re.compile(r"([\\`*{}\[\]<>#|~&$]|(?<![^\W_])_|_(?![^\W_]))")
# Each colour stands out from white and from black.
GREEN, RED, BLUE, VIOLET = "#009e73", "#d55e00", "#3d85c6", "#b07aa1"


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(str(files("tlcourse") / "templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def render_template(name: str, /, **values: Any) -> "Markup":
    """Fill the Jinja2 template in `tlcourse/templates` that is called so, as `render` does."""
    from markupsafe import Markup

    return Markup(_environment().get_template(f"{name}.html.j2").render(values))


def render_markdown(name: str, /, **values: Any) -> str:
    """Fill the template `name` of `tlcourse/templates` that writes Markdown.

    What the values hold stays plain text: signs that mean something in Markdown are escaped.
    """
    environment = _environment().overlay(autoescape=False, finalize=_plain)
    text = environment.get_template(f"{name}.md.j2").render(values)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _plain(value: Any) -> Any:
    """Escape what is text; numbers stay as they are."""
    return _MARKS.sub(r"\\\1", value) if isinstance(value, str) else value


def render(text: str, /, **values: Any) -> "Markup":
    """Fill a Jinja2 template of a line or two; all values are escaped, unless they are `Markup`."""
    from markupsafe import Markup

    return Markup(_compiled(text).render(values))


@cache
def _compiled(text: str) -> "Template":
    return _environment().from_string(text)


def box(sign: str, first: str, colour: str, text: str) -> str:
    """Mark a sentence by a border, a sign, and first words that say what the colour says.

    Code stands between backticks in the text.
    """
    from markupsafe import Markup, escape

    marked = Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
    return render(_BOX, sign=sign, first=first, colour=colour, text=marked)
