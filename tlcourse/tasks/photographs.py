"""Single photographs that come with scikit-image and scikit-learn, each with its credit."""

from importlib.resources import files

from PIL import Image

from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.tasks.pictures import open_picture

_CC0 = "CC0"
_DANIEL = "danielbuechele, flickr.com/photos/danielbuechele/6061409035, CC BY 2.0"
_VULTILION = "vultilion, flickr.com/photos/vultilion/6056698931, CC BY 2.0"
_MIDDLEBURY = "Middlebury 2014 stereo benchmark, D. Scharstein et al. (GCPR 2014)"

# Name: (folder inside the library, file, credit as the library's own notes give it).
# Files are read directly: scikit-image's functions would download one that is missing.
_WHEELS = {"skimage": "scikit-image", "sklearn": "scikit-learn"}
_SKIMAGE, _SKLEARN = ("skimage", "data"), ("sklearn", "datasets/images")
_PHOTOGRAPHS = {
    "astronaut": (_SKIMAGE, "astronaut.png", "NASA (Eileen Collins), public domain"),
    "brick": (_SKIMAGE, "brick.png", f"CC0Textures, {_CC0}"),
    "camera": (_SKIMAGE, "camera.png", f"Lav Varshney, {_CC0}"),
    "cell": (_SKIMAGE, "cell.png", f"Paul Müller et al. (2018), {_CC0}"),
    "chelsea": (_SKIMAGE, "chelsea.png", f"Stefan van der Walt, {_CC0}"),
    "china": (_SKLEARN, "china.jpg", _DANIEL),
    "clock": (_SKIMAGE, "clock_motion.png", "Stefan van der Walt, public domain"),
    "coffee": (_SKIMAGE, "coffee.png", f"Rachel Michetti, Pikolo Espresso Bar, {_CC0}"),
    "coins": (_SKIMAGE, "coins.png", "Brooklyn Museum, no known copyright restrictions"),
    "flower": (_SKLEARN, "flower.jpg", _VULTILION),
    "grass": (_SKIMAGE, "grass.png", f"linolafett, DeviantArt, {_CC0}"),
    "gravel": (_SKIMAGE, "gravel.png", f"CC0Textures, {_CC0}"),
    "hubble_deep_field": (_SKIMAGE, "hubble_deep_field.jpg", "NASA, HubbleSite, public domain"),
    "immunohistochemistry": (_SKIMAGE, "ihc.png", "CMMI, no known copyright restrictions"),
    "microaneurysms": (_SKIMAGE, "microaneurysms.png", f"Andreas Maier, HRF database, {_CC0}"),
    "moon": (_SKIMAGE, "moon.png", "scikit-image, which names no source or licence"),
    "page": (_SKIMAGE, "page.png", "scikit-image, which names no source or licence"),
    "retina": (_SKIMAGE, "retina.jpg", f"Mikael Häggström, Wikimedia Commons, {_CC0}"),
    "rocket": (_SKIMAGE, "rocket.jpg", "SpaceX, public domain"),
    "stereo_motorcycle": (_SKIMAGE, "motorcycle_left.png", _MIDDLEBURY),
}


def photographs(*names: str) -> dict[str, Image.Image]:
    """Open photographs that came with scikit-image and scikit-learn; nothing is downloaded.

    Args:
        names: Such as "chelsea" and "coffee". Without names you get all of them.

    Returns:
        Name -> PIL picture of mode "RGB", in the order asked for. `picture.info["credit"]` says
        who made it and under which licence.

    Raises:
        UnknownNameError: There is no photograph of this name; the nearest ones are offered.
        CourseError: The library does not hold the picture, as a trimmed installation may not.

    Example:
        >>> photographs("chelsea")["chelsea"].size
        (451, 300)
    """
    for name in names:
        if name not in _PHOTOGRAPHS:
            raise UnknownNameError("photograph", name, _PHOTOGRAPHS)
    return {name: _open(name) for name in names or _PHOTOGRAPHS}


def _open(name: str) -> Image.Image:
    (library, folder), file, credit = _PHOTOGRAPHS[name]
    try:
        content = (files(library) / folder / file).read_bytes()
    except OSError as error:
        raise CourseError(
            f"The photograph {name!r} is missing from the installed {library}. Install it again "
            f"with: python -m pip install --force-reinstall --no-deps {_WHEELS[library]}"
        ) from error
    picture = open_picture(content)
    picture.info["credit"] = credit
    return picture
