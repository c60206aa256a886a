"""Single photographs that come with scikit-image and scikit-learn, each with its credit."""

from importlib.resources import files

from PIL import Image

from tlcourse.errors import CourseError, check_choice
from tlcourse.tasks.pictures import open_picture

_DANIEL = "danielbuechele, flickr.com/photos/danielbuechele/6061409035, CC BY 2.0"
_VULTILION = "vultilion, flickr.com/photos/vultilion/6056698931, CC BY 2.0"
_MIDDLEBURY = "Middlebury 2014 stereo benchmark, D. Scharstein et al. (GCPR 2014)"

# Name: (file, credit as the library's own notes give it). Files are read directly, because
# scikit-image's functions would download one that is missing.
_PHOTOGRAPHS = {
    "astronaut": ("skimage/data/astronaut.png", "NASA (Eileen Collins), public domain"),
    "brick": ("skimage/data/brick.png", "CC0Textures, CC0"),
    "camera": ("skimage/data/camera.png", "Lav Varshney, CC0"),
    "cell": ("skimage/data/cell.png", "Paul Müller et al. (2018), CC0"),
    "chelsea": ("skimage/data/chelsea.png", "Stefan van der Walt, CC0"),
    "china": ("sklearn/datasets/images/china.jpg", _DANIEL),
    "clock": ("skimage/data/clock_motion.png", "Stefan van der Walt, public domain"),
    "coffee": ("skimage/data/coffee.png", "Rachel Michetti, Pikolo Espresso Bar, CC0"),
    "coins": ("skimage/data/coins.png", "Brooklyn Museum, no known copyright restrictions"),
    "flower": ("sklearn/datasets/images/flower.jpg", _VULTILION),
    "grass": ("skimage/data/grass.png", "linolafett, DeviantArt, CC0"),
    "gravel": ("skimage/data/gravel.png", "CC0Textures, CC0"),
    "hubble_deep_field": ("skimage/data/hubble_deep_field.jpg", "NASA, HubbleSite, public domain"),
    "immunohistochemistry": ("skimage/data/ihc.png", "CMMI, no known copyright restrictions"),
    "microaneurysms": ("skimage/data/microaneurysms.png", "Andreas Maier, HRF database, CC0"),
    "moon": ("skimage/data/moon.png", "scikit-image, which names no source or licence"),
    "page": ("skimage/data/page.png", "scikit-image, which names no source or licence"),
    "retina": ("skimage/data/retina.jpg", "Mikael Häggström, Wikimedia Commons, CC0"),
    "rocket": ("skimage/data/rocket.jpg", "SpaceX, public domain"),
    "stereo_motorcycle": ("skimage/data/motorcycle_left.png", _MIDDLEBURY),
}


def photographs(*names: str) -> dict[str, Image.Image]:
    """Open photographs that came with scikit-image and scikit-learn; nothing is downloaded.

    Args:
        names: Such as "chelsea" and "coffee". Without names you get all of them.

    Returns:
        Name -> PIL picture of mode "RGB"; `picture.info["credit"]` names its maker and licence.

    Raises:
        UnknownNameError: There is no photograph of this name; the nearest ones are offered.
        CourseError: The installed library lacks the picture.

    Example:
        >>> photographs("chelsea")["chelsea"].size
        (451, 300)
    """
    for name in names:
        check_choice("photograph", name, _PHOTOGRAPHS)
    return {name: _open(name) for name in names or _PHOTOGRAPHS}


def _open(name: str) -> Image.Image:
    file, credit = _PHOTOGRAPHS[name]
    library, _, inside = file.partition("/")
    try:
        content = (files(library) / inside).read_bytes()
    except OSError as error:
        wheel = {"skimage": "scikit-image", "sklearn": "scikit-learn"}[library]
        raise CourseError(
            f"The photograph {name!r} is missing from the installed {library}. Install it again "
            f"with: python -m pip install --force-reinstall --no-deps {wheel}"
        ) from error
    picture = open_picture(content)
    picture.info["credit"] = credit
    return picture
