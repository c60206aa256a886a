"""Readers of pictures and sounds."""

from tlcourse.tasks.pictures import open_picture, to_rgb
from tlcourse.tasks.sound import open_sound
from tools.fuzz.reader import Reader


def _picture(data: bytes) -> None:
    picture = open_picture(data)
    assert (picture.mode, picture.info) == ("RGB", {})
    assert max(open_picture(data, max_side=64).size) <= 64


def _sound(data: bytes) -> None:
    sound = open_sound(data, max_seconds=5)
    assert abs(sound.samples).max() <= 1
    assert sound.seconds <= 5.1
    to_rgb(sound)
    sound.at_rate(8000)._repr_html_()


READERS = {
    "pictures": Reader(_picture),
    "sounds": Reader(_sound),
}
