"""Tasks that are downloaded on request: complete or absent."""

import os
import shutil
import socket
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError

from tlcourse.base.files import cache_dir, can_read, shared_cache
from tlcourse.base.messages import say
from tlcourse.errors import DownloadError, check_choice

_PATIENCE = 30  # seconds without a byte


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
    """Folder of a task in `TLCOURSE_DATA`, the cache, or the cache that a class shares, or None."""
    return find_folder(ARCHIVES[name].folder)


def find_folder(folder: str) -> Path | None:
    """The same for a folder of any name."""
    given = Path(os.environ.get("TLCOURSE_DATA") or cache_dir()).expanduser()
    for place in (given, cache_dir()):
        if (place / folder).is_dir():
            return place / folder
    shared = shared_cache()
    return shared / folder if shared and can_read(shared / folder) else None


def download_task(name: str = "hymenoptera") -> Path:
    """Download the pictures of a task into the cache folder, unless they are there already.

    "hymenoptera", the ants and bees photographs of PyTorch's tutorial, takes 47 MB. Their licence
    is unclear: use them to learn, do not pass them on.

    Returns:
        The folder with the pictures. `load_task(name)` finds it by itself.

    Raises:
        UnknownNameError: There is no such task to download.
        DownloadError: No network, cut half-way, or other content than expected. Nothing is kept.
    """
    from filelock import FileLock

    check_choice("task to download", name, ARCHIVES)
    archive, cache = ARCHIVES[name], cache_dir()
    if there := find_task(name):
        return there
    try:
        with FileLock(cache / f".{archive.folder}.lock"):  # a second process waits for the first
            if there := find_task(name):
                return there
            for left in cache.glob(f".{archive.folder}.*.part"):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            say(f"Downloading {archive.what} ({archive.size / 1e6:.0f} MB).")
            with TemporaryDirectory(".part", f".{archive.folder}.", cache) as part:
                _download(archive, Path(part, "archive.zip"))
                shutil.unpack_archive(Path(part, "archive.zip"), part)
                Path(part, archive.folder).replace(cache / archive.folder)
    except OSError as error:
        raise DownloadError(
            f"{archive.what[0].upper()}{archive.what[1:]} cannot be kept in {cache} "
            f"({error.strerror or error}). "
            "Set TLCOURSE_CACHE to a folder that you may write to, and with room."
        ) from error
    return cache / archive.folder


def _download(archive: Archive, path: Path) -> None:
    """Fetch an archive and compare its SHA-256."""
    from torch.hub import download_url_to_file

    patience = socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(_PATIENCE)
        download_url_to_file(archive.url, str(path), hash_prefix=archive.sha256)
    except RuntimeError as error:
        raise DownloadError(
            f"What {archive.url} sent is not {archive.what} as expected (its SHA-256 differs). "
            "Nothing was kept. The download may have been cut, or a network's login page came "
            "instead: open a web page first, then run the same line again."
        ) from error
    except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(
            f"{archive.what[0].upper()}{archive.what[1:]} could not be downloaded ({reason}). "
            "Nothing was kept. Check the network and run the same line again."
        ) from error
    finally:
        socket.setdefaulttimeout(patience)
