"""Pictures of every kind open as upright 8-bit RGB; what is not one is refused in a sentence."""

import io
import pickle
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from damaged import damaged
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from png import png

from tlcourse.errors import CourseError, PictureError, UnknownNameError
from tlcourse.tasks.photographs import photographs
from tlcourse.tasks.pictures import open_picture, to_rgb

RAMP = np.arange(256, dtype=np.uint8)[None].repeat(32, 0)  # black at the left, white at the right


@pytest.fixture(scope="module")
def cat():
    return photographs("chelsea")["chelsea"]


def encoded(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def first_channel(picture):
    assert picture.mode == "RGB"
    return np.asarray(picture)[..., 0]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_files_are_scaled_not_clipped(kind):
    deep = Image.fromarray(RAMP.astype(np.uint16) * 257)
    assert np.array_equal(first_channel(open_picture(encoded(deep, kind))), RAMP)


@pytest.mark.parametrize(
    "values",
    [
        RAMP.astype(">u2") * 257,
        RAMP.astype(np.int32) * 257,
        RAMP.astype(np.int32),
        RAMP.astype(np.float32) / 255,
        RAMP.astype(np.float32),
        RAMP.astype(np.float32) * 3 - 200,
        np.where(RAMP == 0, np.nan, RAMP / 255).astype(np.float32),
    ],
    ids=["I;16B", "I 16 bit", "I 8 bit", "F 0..1", "F 0..255", "F signed", "F with NaN"],
)
def test_deep_pictures_in_memory_keep_their_grey_levels(values):
    assert np.array_equal(first_channel(to_rgb(Image.fromarray(values))), RAMP)


def test_a_dark_16_bit_file_stays_dark():
    dark = Image.fromarray((RAMP // 64).astype(np.uint16))
    assert first_channel(open_picture(encoded(dark, "PNG"))).max() == 0


def test_a_floating_point_tiff_is_read():
    tiff = encoded(Image.fromarray(RAMP.astype(np.float32) / 255), "TIFF")
    assert np.array_equal(first_channel(open_picture(tiff)), RAMP)


def test_a_12_bit_tiff_is_scaled_by_its_own_depth():
    tags = {256: 2, 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 3}
    pixels = bytes([0xFF, 0xF8, 0x00, 0])  # 4095 and 2048
    content = b"II*\0" + struct.pack("<I", 12) + pixels + struct.pack("<H", len(tags))
    content += b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in tags.items())
    opened = open_picture(content + bytes(4))
    assert first_channel(opened).tolist() == [[255, 128]]


def test_a_cmyk_photograph_keeps_its_colours(cat):
    back = open_picture(encoded(cat.convert("CMYK"), "JPEG", quality=95))
    assert np.abs(np.asarray(back, float) - np.asarray(cat, float)).mean() < 2  # JPEG's own loss


def test_transparent_parts_become_white():
    half = np.zeros((8, 8, 4), np.uint8)
    half[:, 4:] = (255, 0, 0, 255)
    picture = Image.fromarray(half)
    palette = encoded(picture.quantize(4), "PNG")
    assert Image.open(io.BytesIO(palette)).mode == "P"
    for content in (encoded(picture, "PNG"), palette, encoded(picture.convert("LA"), "PNG")):
        opened = open_picture(content)
        assert opened.getpixel((0, 0)) == (255, 255, 255)
        assert opened.getpixel((7, 0)) != (255, 255, 255)
    keyed = encoded(Image.new("L", (4, 4), 7), "PNG", transparency=7)
    assert open_picture(keyed).getpixel((0, 0)) == (255, 255, 255)


def test_transparent_parts_of_a_large_picture_become_white_alike():
    values = np.random.default_rng(0).integers(0, 256, (1030, 1100, 4), dtype=np.uint8)
    picture = Image.fromarray(values)
    white = Image.new("RGBA", picture.size, "white")
    assert np.array_equal(to_rgb(picture), Image.alpha_composite(white, picture).convert("RGB"))


MEMORY = """
from pathlib import Path
from PIL import Image
from tlcourse.tasks.pictures import to_rgb
picture = Image.new("RGBA", (5000, 5000), (1, 2, 3, 4))
to_rgb(picture)
(most,) = (line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
print(most.split()[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory otherwise")
def test_a_transparent_picture_takes_its_own_room_twice():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, check=True)
    pixels = 5000 * 5000 * 4 / 1024  # KiB
    assert 2 * pixels < int(done.stdout) < 3 * pixels


@pytest.mark.parametrize(
    "mode",
    ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"],
)
def test_any_8_bit_mode_of_1x1_becomes_rgb(mode):
    assert to_rgb(Image.new(mode, (1, 1))).mode == "RGB"


def test_a_file_of_one_pixel_and_one_bit_is_read():
    assert open_picture(encoded(Image.new("1", (1, 1), 1), "PNG")).getpixel((0, 0)) == (255,) * 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_camera_is_turned_back(cat, kind, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    content = encoded(cat, kind, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    assert np.array_equal(open_picture(content), expected.convert("RGB"))
    assert open_picture(content).size == (cat.size if orientation < 5 else cat.size[::-1])


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "GIF"])
def test_of_an_animation_the_first_frame_is_taken(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("blue", "red")]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    assert open_picture(content).getpixel((4, 4)) == (0, 0, 255)


def test_path_bytes_and_file_give_the_same_picture(cat, tmp_path):
    path = tmp_path / "кошка Челси 猫.png"
    cat.save(path)
    for source in (path, str(path), path.read_bytes(), memoryview(path.read_bytes())):
        assert np.array_equal(open_picture(source), cat)
    with path.open("rb") as file:
        opened = open_picture(file)
    assert np.array_equal(pickle.loads(pickle.dumps(opened)), cat)


def test_max_side_shrinks_and_never_enlarges(cat):
    content = encoded(cat, "JPEG", quality=95)
    assert max(open_picture(content, max_side=100).size) == 100
    assert open_picture(content, max_side=1000).size == cat.size
    opened = open_picture(content, max_side=100)
    small = cat.resize(opened.size, Image.Resampling.BICUBIC)
    far = np.asarray(opened, float) - np.asarray(small, float)
    assert np.abs(far).mean() < 3  # reduced decoding shows the same picture


@pytest.mark.parametrize("side", [10_001, 12_000, 30_000])
def test_a_huge_picture_is_refused_from_its_header(side):
    # Warnings are errors in these tests: Pillow's own one does not come through.
    with pytest.raises(PictureError, match="more than 100 million pixels"):
        open_picture(png(side, side))


def test_formats_that_take_more_memory_may_have_fewer_pixels():
    small = Image.new("RGB", (8, 8))
    webp = encoded(small, "WEBP", lossless=True)
    size = webp.index(b"VP8L") + 9  # two numbers of 14 bits: one less than the sides
    webp = webp[:size] + struct.pack("<I", 7999 | 7999 << 14) + webp[size + 4 :]
    jpeg = encoded(small, "JPEG2000").replace(struct.pack(">I", 8), struct.pack(">I", 6000))
    for content, most in ((webp, 50), (jpeg, 25)):
        with pytest.raises(PictureError, match=f"more than {most} million pixels"):
            open_picture(content)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("max_side", [None, 32])
def test_a_cut_file_is_refused(cat, kind, max_side):
    content = encoded(cat, kind)
    with pytest.raises(PictureError, match="it is cut off or damaged"):
        open_picture(content[: len(content) * 2 // 3], max_side=max_side)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"", "it is empty"),
        (b"Dear diary, today I learned", "it is not a picture"),
        (b"\0\0\0\x18ftypheic" + bytes(99), "HEIC photograph; save it as JPEG"),
        (io.StringIO("text"), "mode 'rb'"),
        ("no/such.jpg", "No such file"),
        (".", "it is a folder"),
        (7, "not from int"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_reason(source, said):
    with pytest.raises(PictureError, match=said):
        open_picture(source)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (png(1000, 1000, bytes(301 * 100)), "it is cut off"),  # a hundred lines of a thousand
        (png(2**31 - 1, 2**31 - 1), "more than 100 million pixels"),
        (png(1, 70_000), "a side of more than 65,535 pixels"),
        (png(0, 5), "it is not a picture|damaged"),
        (
            png(4, 1, bytes(13), before=[(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**26 + 1)))]),
            "dama",
        ),
        (
            png(4, 1, bytes(13), before=[(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**26 + 1)))]),
            "dama",
        ),
    ],
    ids=["too few lines", "largest", "tall", "no column", "text bomb", "profile bomb"],
)
def test_a_png_that_lies_is_refused(content, said):
    with pytest.raises(PictureError, match=said):
        open_picture(content)


def test_the_picture_in_an_icon_may_not_be_larger_than_allowed():
    large = png(300, 300, bytes(901 * 300))
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(large), 22)  # it says 16 x 16
    icon = struct.pack("<HHH", 0, 1, 1) + entry + large
    assert open_picture(icon).size == (300, 300)
    with pytest.raises(PictureError, match=r"more than 0\.01 million pixels"):
        open_picture(icon, max_pixels=10_000)


def test_a_jpeg_of_a_thousand_scans_is_refused(cat):
    content = encoded(cat, "JPEG", progressive=True)
    last = content[content.rfind(b"\xff\xda") : -2]
    assert open_picture(content[:-2] + 3 * last + content[-2:]).size == cat.size
    with pytest.raises(PictureError, match="a JPEG of more than 30 scans"):
        open_picture(content[:-2] + 1000 * last + content[-2:])
    assert open_picture(content + 1000 * last).size == cat.size  # a film behind it, say


def test_damaged_exif_data_leave_the_picture_as_it_is(cat):
    for exif in (b"Exif\0\0", b"Exif\0\0II*\0" + b"\xff" * 40, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"):
        assert open_picture(encoded(cat, "JPEG", exif=exif)).size == cat.size
    exif = Image.Exif()
    exif[274] = 999
    assert open_picture(encoded(cat, "JPEG", exif=exif)).size == cat.size


lossless = st.sampled_from(["PNG", "BMP", "TIFF", "WEBP", "PPM"])
sides = st.integers(1, 40)


@given(lossless, sides, sides, st.integers(0, 2**32))
def test_what_was_written_without_loss_is_read(kind, width, height, seed):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(values), kind, lossless=True)
    assert np.array_equal(open_picture(content), values)


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 100), st.booleans())
@example(1, 20_000, 64, True)
@example(20_000, 1, 1, False)
def test_max_side_holds_for_any_shape(width, height, most, jpeg):
    content = encoded(Image.new("L", (width, height)), "JPEG" if jpeg else "PNG")
    shrunk = open_picture(content, max_side=most).size
    assert min(shrunk) >= 1
    side = min(most, max(width, height))
    assert (0.75 * side if jpeg else side) <= max(shrunk) <= side


@given(damaged("pictures"), st.none() | st.integers(1, 64))
@settings(max_examples=200)
def test_a_damaged_file_is_a_picture_or_one_sentence(content, max_side):
    try:
        opened = open_picture(content, max_side=max_side)
    except PictureError:
        return
    assert (opened.mode, opened.info) == ("RGB", {})
    assert max_side is None or max(opened.size) <= max_side


def test_all_photographs_are_here_without_a_network_and_carry_their_credit(monkeypatch):
    monkeypatch.setattr("socket.socket", None)
    found = photographs()
    assert {"chelsea", "coffee", "china", "flower", "stereo_motorcycle", "retina"} <= set(found)
    for picture in found.values():
        assert picture.mode == "RGB"
        assert picture.info["credit"]


def test_photographs_are_those_of_the_libraries():
    from skimage import data
    from sklearn.datasets import load_sample_image

    found = photographs("flower", "stereo_motorcycle", "moon")
    assert list(found) == ["flower", "stereo_motorcycle", "moon"]
    assert np.array_equal(found["flower"], load_sample_image("flower.jpg"))
    assert np.array_equal(found["stereo_motorcycle"], data.stereo_motorcycle()[0])
    assert np.array_equal(first_channel(found["moon"]), data.moon())


def test_an_unknown_photograph_offers_near_names():
    with pytest.raises(UnknownNameError, match="Nearest: chelsea"):
        photographs("chelsy")


def test_a_trimmed_library_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr("tlcourse.tasks.photographs.files", lambda library: tmp_path)
    with pytest.raises(CourseError, match="missing from the installed skimage"):
        photographs("coffee")


def test_what_is_no_picture_is_told_so():
    with pytest.raises(PictureError, match=r"PIL image, you gave ndarray\. tl\.open_picture"):
        to_rgb(RAMP)
