"""Unpack a ZIP file with pictures that somebody has uploaded."""

import io
import lzma
import zipfile
import zlib
from pathlib import Path

from tlcourse._folders import children
from tlcourse.errors import CourseError

_MOST_BYTES = 2**31
_MOST_FILES = 50_000
# A password, or a method of packing that Python does not know, is a RuntimeError.
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, OSError, EOFError)


def unpack(content: bytes, folder: Path) -> Path:
    """Unpack into a folder; returns the folder that holds the class folders.

    That is `folder`, or the only folder in it: many programs pack the outer folder too. What systems add
    themselves does not count.

    Raises:
        CourseError: It is no ZIP file, is damaged, or holds too much.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > _MOST_BYTES or len(members) > _MOST_FILES:
                raise CourseError(
                    f"The ZIP file would unpack to {len(members):,} files and {size / 1e9:.1f} GB. "
                    "Copy the folder to this machine instead, and give its path."
                )
            archive.extractall(folder)  # it keeps names such as "../x" inside the folder
    except _DAMAGED as error:
        raise CourseError(
            f"The ZIP file cannot be unpacked ({error}). Pack the folder again, without a password."
        ) from error
    inside = children(folder)
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder
