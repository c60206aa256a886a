"""The upload button of notebook 14: the learner's own voice, or any other sound."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from markupsafe import Markup

from tlcourse.base.html import render_template
from tlcourse.errors import CourseError, SoundError
from tlcourse.patterns.result import Result
from tlcourse.tasks.sound import RATE, Sound, open_sound
from tlcourse.widgets.controls import Upload
from tlcourse.widgets.explorer import Explorer, panel
from tlcourse.widgets.tiles import photo_uri, tile

if TYPE_CHECKING:
    import pandas as pd

SECONDS = 5.0  # of an upload that are heard and answered; so the page gets 0.2 MB at most
_AXES = "Time goes to the right, low pitches lie at the bottom."
_SHOWN = 3  # classes of each answer
Answers: TypeAlias = "Mapping[str, Result | Callable[[Sound], pd.DataFrame]]"


class OwnSound(Explorer):
    """Show an upload button; a sound that you choose is played, drawn, and classified at once.

    The sound stays in memory: nothing is written to disk. Its first five seconds are taken. A file
    that cannot be read gives a sentence instead.

    Args:
        answers: What to call it -> a result, whose `predict` is asked, or a function of your own: it
            takes a `Sound` and gives a table with `class` and `probability`, the best first, as
            `tl.top_k` does.

    Raises:
        CourseError: Something in `answers` is neither.

    Example:
        >>> tl.widgets.own_sound({"which voice": result})  # doctest: +SKIP
    """

    def __init__(self, answers: Answers) -> None:
        if not isinstance(answers, Mapping):
            raise CourseError(
                'own_sound() needs a dictionary, name -> result, such as {"which voice": result}.'
            )
        for name, answer in answers.items():
            if not isinstance(answer, Result) and not callable(answer):
                raise CourseError(
                    f"{name!r} -> {type(answer).__name__} cannot be asked. Give a result, or a "
                    "function that takes a Sound."
                )
        self._held = dict(answers)
        self.button = Upload("Choose a sound of yours", self._take, self._refuse, accept="audio/*")
        self.answer = panel()
        super().__init__([self.button, self.answer], "Upload button for a sound")

    def _take(self, name: str, content: bytes) -> None:
        try:
            sound = open_sound(content, max_seconds=SECONDS)
        except SoundError as error:
            self._refuse(f"{name} cannot be read: {error.reason}.")
            return
        self._say("Computing ...")
        self._tell("")
        with self.showing_problems():
            self.answer.value = ""
            tables = [(called, _rows(ask, sound)) for called, ask in self._held.items()]
            self.answer.value = _shown(name, sound, tables)
            said = [f"{called}: {', '.join(rows[0])}" for called, rows in tables if rows]
            self._tell(f"{name}, {'; '.join(said)}.")
        self._say(self._summary)

    def _refuse(self, sentence: str) -> None:
        self.answer.value = ""
        self.show_problem(sentence)


def _rows(ask: "Result | Callable[[Sound], pd.DataFrame]", sound: Sound) -> list[tuple[str, str]]:
    """The first classes with their probability in per cent."""
    table = ask.predict(sound) if isinstance(ask, Result) else ask(sound)
    first = table.head(_SHOWN)
    return [(str(c), f"{p:.0%}") for c, p in zip(first["class"], first["probability"], strict=True)]


def _shown(name: str, sound: Sound, tables: list[tuple[str, list[tuple[str, str]]]]) -> Markup:
    picture = np.asarray(sound.picture(seconds=max(sound.seconds, 1.0)))
    drawn = tile(photo_uri(picture), f"Log-mel spectrogram of {name}", _AXES)
    heard = replace(sound.at_rate(min(sound.rate, RATE)), caption=name)
    player = Markup(heard._repr_html_())
    return render_template("own_sound", tile=drawn, player=player, answers=tables)
