"""HTML: one engine for all templates, and a page that needs no other file."""

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --text: #1b1b1b; --back: #fff; --soft: #f1f3f5;
  --line: #8a8f94; --good: #00634a; --bad: #a33b00; }
@media (prefers-color-scheme: dark) { :root { --text: #ececec; --back: #17191b;
  --soft: #24282b; --line: #858b91; --good: #4fd0a5; --bad: #ff9d5c; } }
body { margin: 0; background: var(--back); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { padding: .35rem .55rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
.good { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
.advice { background: var(--soft); border-left: 4px solid var(--line); padding: .8rem; }
pre { background: var(--soft); border-left: 4px solid var(--line); padding: .8rem; margin: .5rem 0;
  overflow-x: auto; font: .9rem/1.4 ui-monospace, monospace; }
img { max-width: 100%; height: auto; }
a { color: inherit; }
</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
{{ body }}
<h2>Machine</h2>
<div class="scroll"><table>
{% for name, value in machine.items() %}
<tr><th scope="row">{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}
</table></div>
</main>
</body>
</html>
"""
_BOX = (
    '<div role="status" style="border-left: 5px solid {{ colour }}; padding: 0.4em 0.8em; '
    'margin: 0.4em 0"><strong><span aria-hidden="true">{{ sign }}</span> {{ first }}</strong> '
    "{{ text }}</div>"
)
# Each colour stands out from white and from black.
GREEN, RED, BLUE, VIOLET = "#009e73", "#d55e00", "#3d85c6", "#b07aa1"


@cache
def _template(source: str) -> "Template":
    from jinja2 import StrictUndefined, Template

    return Template(
        source, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )


def render(template: str, **values: Any) -> "Markup":
    """Fill a Jinja2 template, a constant; every value is escaped, unless it is `Markup`."""
    from markupsafe import Markup

    return Markup(_template(template).render(values))


def page(title: str, body: "Markup", machine: Mapping[str, str]) -> str:
    """Return a page that ends with the facts of a machine."""
    return render(_PAGE, title=title, body=body, machine=machine)


def box(sign: str, first: str, colour: str, text: str) -> str:
    """Mark a sentence by a border, a sign, and first words that say what the colour says.

    Code stands between backticks in the text.
    """
    from markupsafe import Markup, escape

    marked = Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
    return render(_BOX, sign=sign, first=first, colour=colour, text=marked)
