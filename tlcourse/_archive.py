"""Unpack a ZIP file with pictures that somebody has uploaded."""

import io
import zipfile
from pathlib import Path

from tlcourse.errors import CourseError

_MOST_BYTES = 2**31
_MOST_FILES = 50_000


def unpack(content: bytes, folder: Path) -> Path:
    """Unpack into a folder; returns the folder that holds the class folders.

    That is `folder`, or the only folder in it: many programs pack the outer folder too.

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
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError) as error:
        raise CourseError(
            f"The ZIP file cannot be unpacked ({error}). Pack the folder again, without a password."
        ) from error
    inside = [path for path in folder.iterdir() if path.name != "__MACOSX"]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder
