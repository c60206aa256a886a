"""A sentence with a marked border, as lessons show verdicts, hints and guesses."""

import html
import re

# Each colour stands out from white and from black.
GREEN, RED, BLUE, VIOLET = "#009e73", "#d55e00", "#3d85c6", "#b07aa1"


def box(sign: str, first: str, colour: str, text: str) -> str:
    """Mark a sentence by a border, a sign and a word; text and ground keep the theme's colours.

    Args:
        sign: One character, for the eye only.
        first: The first word or words, in bold; they say what the colour says.
        colour: Of the border.
        text: The sentence. Code stands between backticks.
    """
    body = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
    return (
        f'<div role="status" style="border-left: 5px solid {colour}; padding: 0.4em 0.8em; '
        f'margin: 0.4em 0"><strong><span aria-hidden="true">{sign}</span> {first}</strong> '
        f"{body}</div>"
    )
