"""Tasks that are downloaded on request: complete or absent."""

import os
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tlcourse.base.files import cache_dir, can_read, download, shared_cache
from tlcourse.errors import DownloadError, UnknownNameError


@dataclass(frozen=True)
class Archive:
    """A zip file with the pictures of a task, all in one folder."""

    url: str
    folder: str
    size: int  # bytes
    sha256: str
    what: str


ARCHIVES = {
    "hymenoptera": Archive(
        url="https://download.pytorch.org/tutorial/hymenoptera_data.zip",
        folder="hymenoptera_data",
        size=47_286_322,
        sha256="fbc41b31d544714d18dd1230b1e2b455e1557766e13e67f9f5a7a23af7c02209",
        what="the ants and bees photographs",
    )
}


def find_task(name: str) -> Path | None:
    """Folder of a downloaded task: in `TLCOURSE_DATA`, the cache, or the cache that a class shares.

    None if it is in none of them.
    """
    folder = ARCHIVES[name].folder
    if named := os.environ.get("TLCOURSE_DATA"):
        given = Path(named).expanduser() / folder
        if given.is_dir():
            return given
    cached = cache_dir() / folder
    if cached.is_dir():
        return cached
    shared = shared_cache()
    return shared / folder if shared and can_read(shared / folder) else None


def download_task(name: str = "hymenoptera") -> Path:
    """Download the pictures of a task into the cache folder, unless they are there already.

    "hymenoptera", the ants and bees photographs of PyTorch's tutorial, is 47 MB to download and as
    much on the disk. Their licence is unclear: use them to learn, do not pass them on.

    Returns:
        The folder with the pictures. `load_task(name)` finds it by itself.

    Raises:
        UnknownNameError: There is no such task to download.
        DownloadError: No network, cut half-way, or other content than expected. Nothing is kept.
    """
    from filelock import FileLock

    if name not in ARCHIVES:
        more = "The other tasks need no download."
        raise UnknownNameError("task to download", name, ARCHIVES, more)
    archive, cache = ARCHIVES[name], cache_dir()
    if found := find_task(name):
        return found
    try:
        with FileLock(cache / f".{archive.folder}.lock"):  # a second process waits for the first
            return find_task(name) or _fetch(archive, cache)
    except OSError as error:
        raise DownloadError(
            f"{archive.what[0].upper()}{archive.what[1:]} cannot be kept in {cache} ({error}). "
            "Set TLCOURSE_CACHE to a folder that you may write to."
        ) from error


def _fetch(archive: Archive, cache: Path) -> Path:
    """Download and unpack into a temporary folder of the cache, which then gets its name."""
    for rest in cache.glob(f".{archive.folder}.*.part"):  # of a process that was killed
        shutil.rmtree(rest, ignore_errors=True)
    part = Path(tempfile.mkdtemp(dir=cache, prefix=f".{archive.folder}.", suffix=".part"))
    try:
        megabytes = f"{archive.what} ({archive.size / 1e6:.0f} MB)"
        zipped = download(
            archive.url,
            part / "archive.zip",
            sha256=archive.sha256,
            size=archive.size,
            what=megabytes,
        )
        _unpack(zipped, part, archive)
        return (part / archive.folder).replace(cache / archive.folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _unpack(zipped: Path, target: Path, archive: Archive) -> None:
    """Unpack the archive's folder into `target`, and nothing outside of it."""
    try:
        with zipfile.ZipFile(zipped) as opened:
            for member in opened.infolist():
                parts = PurePosixPath(member.filename).parts
                if parts[:1] != (archive.folder,) or ".." in parts:
                    raise DownloadError(
                        f"The archive with {archive.what} holds {member.filename!r}, which does "
                        f"not belong into {archive.folder!r}. Nothing was kept."
                    )
            opened.extractall(target)
    except (OSError, zipfile.BadZipFile) as error:
        raise DownloadError(
            f"The archive with {archive.what} could not be unpacked ({error}). Nothing was kept."
        ) from error
