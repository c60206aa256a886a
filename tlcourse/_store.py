"""The cache folder, and files that appear whole or not at all."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from tlcourse.errors import CourseError, DownloadError


def cache_dir() -> Path:
    """Folder for downloads and features: `TLCOURSE_CACHE`, else the system's cache folder."""
    named = os.environ.get("TLCOURSE_CACHE")
    folder = Path(named).expanduser() if named else platformdirs.user_cache_path("tlcourse")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CourseError(
            f"The cache folder {folder} cannot be made ({error.strerror}). "
            "Set TLCOURSE_CACHE to a folder that you may write to."
        ) from error
    return folder


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; what is written there becomes `path` at the end.

    If the block raises (Ctrl-C included) the temporary file is removed and `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def download(
    url: str, path: Path, *, sha256: str, size: int, what: str, open_url: Callable | None = None
) -> Path:
    """Fetch one file with a progress bar, verify it, and only then give it its name.

    Args:
        url: Where it is.
        path: Where it goes. A file that is there and has the right digest is not fetched again.
        sha256: Expected digest, hexadecimal.
        size: Expected size in bytes, for the progress bar.
        what: Its name in sentences, such as "the ants and bees pictures".
        open_url: Replaces `urllib.request.urlopen`, for tests.

    Raises:
        DownloadError: No network, cut half-way, or other content than expected. Nothing is left.
    """
    from urllib.request import urlopen

    from tqdm.auto import tqdm

    if path.is_file() and sha256_of(path) == sha256:
        return path
    try:
        with (
            whole_file(path) as part,
            (open_url or urlopen)(url, timeout=30) as source,
            part.open("wb") as sink,
            tqdm(total=size, unit="B", unit_scale=True, desc=what) as bar,
        ):
            while block := source.read(1 << 16):
                sink.write(block)
                bar.update(len(block))
            sink.flush()
            if part.stat().st_size < size:
                raise DownloadError(
                    f"The download of {what} was cut after {part.stat().st_size:,} of {size:,} "
                    "bytes. Nothing was kept; run the same line again."
                )
            if sha256_of(part) != sha256:
                raise DownloadError(
                    f"What {url} sent is not {what} as expected (its SHA-256 differs). "
                    "Nothing was kept; try again later."
                )
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(
            f"{what} could not be downloaded ({reason}). "
            "Check the network and run the same line again; nothing half-done was kept."
        ) from error
    return path
