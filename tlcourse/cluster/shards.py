"""Shards: pictures in pieces of some thousand, each of which one worker reads from start to end."""

import glob
import hashlib
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from tlcourse.base.files import parse_json
from tlcourse.base.messages import first_line, printable
from tlcourse.errors import CourseError, check_whole
from tlcourse.tasks.folder import EXTENSIONS, SPLIT_FOLDERS, files_inside

_KINDS = (".tar", ".parquet")
_LABELS = (".cls", ".json", ".txt")  # what stands beside a picture in a tar file; the first counts
_AFTER_NAME = re.compile(r"\.[^/]*$")  # from the first dot of the last part of a path
_MOST_BYTES = 2**28  # of what belongs together in a tar file: pictures of one name, and their label
_MOST_LABEL = 2**20  # bytes that are read of a label's file
_NOTES = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, b"L", b"K")
_MOST_NOTES = 2**14  # bytes of them, which stand before a file's own header

Row = tuple[str, str | None, bytes | Path]  # name, label, and the picture's content or file


@dataclass(frozen=True)
class Shard:
    """A tar file, a Parquet file, or some pictures of a folder.

    Attributes:
        name: What the file of its features is named after; no two shards of a run share it.
        path: The file, or the folder.
        digest: 16 hexadecimal digits that change with the names, sizes and times of its files.
        files: The pictures of a folder, relative to it; of a tar or Parquet file none.
    """

    name: str
    path: Path
    digest: str
    files: tuple[str, ...] = field(default=(), repr=False)


def find_shards(sources: Iterable[str], size: int = 1000) -> list[Shard]:
    """Find the shards; nothing is read but names, sizes and times.

    Args:
        sources: Tar files (`*.tar`), Parquet files (`*.parquet`), patterns such as "data/*.tar",
            folders that hold such files, or folders of pictures, which are cut into shards.
        size: Pictures per shard that is cut from a folder.

    Raises:
        CourseError: Nothing is found, something else is named, or two shards have the same name.
    """
    check_whole("shard_size", size)
    shards: list[Shard] = []
    for source in sources:
        paths = [source] if Path(source).exists() else sorted(glob.glob(source))  # noqa: PTH207
        found = [shard for path in paths for shard in _shards_of(Path(path).absolute(), size)]
        if not found:
            said = "holds no pictures, tar or Parquet files. Check the spelling of its path"
            raise CourseError(f"{printable(source)} {said}, or of a pattern as 'data/*.tar'.")
        shards += found
    name, count = Counter(shard.name for shard in shards).most_common(1)[0]
    if count > 1:
        raise CourseError(f"{count} shards are called {printable(name)}. Give each another name.")
    return shards


def _shards_of(path: Path, size: int) -> list[Shard]:
    # What the file of its features is named after is text that is safe to print.
    name = printable(path.stem if path.is_file() else path.name).replace("\\", "_")
    if path.is_file():
        if path.suffix not in _KINDS:
            said = f"{printable(path)} is no shard: its name ends neither in .tar nor in .parquet."
            raise CourseError(said)
        return [Shard(name, path, _digest(path.parent, [path.name]))]
    files = [file for file in files_inside(path) if file.is_file()]
    pictures = [file for file in files if file.suffix.lower() in EXTENSIONS]
    files = [file for file in files if file.suffix in _KINDS and file.parent == path]
    if files and pictures:
        both = f"{printable(path)} holds shards, such as {printable(files[0].name)}, and pictures"
        raise CourseError(f"{both}. Move one kind elsewhere, or name the shards: 'data/*.tar'.")
    if files:
        return [shard for file in files for shard in _shards_of(file, size)]
    names = [file.relative_to(path).as_posix() for file in pictures]
    pieces = [tuple(names[first : first + size]) for first in range(0, len(names), size)]
    return [Shard(f"{name}-{i:06d}", path, _digest(path, p), p) for i, p in enumerate(pieces)]


def _digest(folder: Path, names: Iterable[str]) -> str:
    try:
        found = [(name, (folder / name).stat()) for name in names]
    except OSError as error:  # another program has taken it away, say
        reason = error.strerror or error
        raise CourseError(f"A file in {printable(folder)} cannot be read ({reason}).") from error
    about = repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in found])
    return hashlib.sha256(about.encode()).hexdigest()[:16]


def read_shard(shard: Shard) -> Iterator[Row]:
    """Yield the pictures of a shard one by one, in their order, each under a name of its own.

    Raises:
        CourseError: The file is damaged, or holds something else.
        OSError: It cannot be read.
    """
    kinds = {"": _files, ".tar": _tar, ".parquet": _parquet}
    seen: Counter[str] = Counter()
    try:
        for name, label, content in kinds["" if shard.files else shard.path.suffix](shard):
            seen[name] += 1
            again = f" ({seen[name]})" if seen[name] > 1 else ""
            yield printable(name) + again, label, content
    except CourseError:
        raise
    except Exception as error:  # whatever the readers of damaged files raise
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise CourseError(f"the file is damaged or cut off ({first_line(error)})") from error


def _files(shard: Shard) -> Iterator[Row]:
    """Label a picture by its class folder, which is "ants" for "train/ants/1.jpg"."""
    for name in shard.files:
        folders = name.split("/")[:-1]
        split = len(folders) > 1 and folders[0].lower() in SPLIT_FOLDERS
        yield name, printable(folders[split]) if folders else None, shard.path / name


def _tar(shard: Shard) -> Iterator[Row]:
    """Join what has the same name up to its first dot, as WebDataset does."""
    known = {*EXTENSIONS, *_LABELS}
    with tarfile.open(shard.path, "r:", tarinfo=_Member) as archive:
        members = (m for m in _in_order(archive) if m.isfile() and _kind(m) in known)
        for stem, sample in groupby(members, lambda member: _AFTER_NAME.sub("", member.name)):
            files, n_bytes = [], 0
            for member in sample:
                n_bytes += member.size
                if n_bytes > _MOST_BYTES:  # a few bytes may stand for a file of any size
                    said = f"what belongs to {printable(stem)} is larger than"
                    raise CourseError(f"{said} {_MOST_BYTES >> 20} MiB")
                files.append((member, archive.extractfile(member).read()))  # type: ignore[union-attr]
            texts = {_kind(member): content for member, content in files}
            label = next((_label(kind, texts[kind]) for kind in _LABELS if kind in texts), None)
            for member, content in files:
                if _kind(member) in EXTENSIONS:
                    yield member.name, label, content
        archive.fileobj.seek(archive.offset)
        if archive.fileobj.read(512) != bytes(512):  # `tarfile` takes damage for the end
            raise tarfile.ReadError("something else than its end comes after the last file")


class _Member(tarfile.TarInfo):
    """A file in a tar file, whose header is believed only as far as it can be true."""

    @classmethod
    def frombuf(cls, *block: Any) -> "_Member":
        """Read a header; `tarfile` may read notes of megabytes for hours."""
        member = super().frombuf(*block)
        if member.size < 0 or (member.type in _NOTES and member.size > _MOST_NOTES):
            raise tarfile.ReadError(f"a header tells of {member.size} bytes")
        return member


def _in_order(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the files; a header that leads back, or beyond itself, would be read for ever."""
    last = -1
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # nobody asks for these millions
        if member.size < 0 or not last < member.offset < archive.offset:
            raise tarfile.ReadError(f"a header tells of {member.size} bytes")
        last = member.offset
        yield member


def _kind(member: tarfile.TarInfo) -> str:
    return Path(member.name).suffix.lower()


def _label(kind: str, content: bytes) -> str | None:
    label: Any = content[:_MOST_LABEL].decode("utf-8", "replace").strip() or None
    if kind == ".json":
        try:
            label = parse_json(label)["label"]
        except (ValueError, KeyError, TypeError):
            return None
    return None if label is None else str(label)


def _parquet(shard: Shard) -> Iterator[Row]:
    """Read a column `image`, of bytes or as Hugging Face writes it, and `label` and `name`."""
    from pyarrow.parquet import ParquetFile

    with ParquetFile(shard.path, buffer_size=2**20) as file:
        schema = file.schema_arrow
        if "image" not in schema.names:
            raise CourseError(f"it has no column 'image', only {', '.join(schema.names)}")
        notes = parse_json((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = notes.get("info", {}).get("features", {})
        classes: dict[Any, str] = dict(enumerate(features.get("label", {}).get("names", ())))
        columns = [name for name in ("name", "label", "image") if name in schema.names]
        batches = file.iter_batches(1, columns=columns)  # the same bytes may stand for many rows
        for i, row in enumerate(row for batch in batches for row in batch.to_pylist()):
            image, label = row["image"], row.get("label")
            image = image if isinstance(image, dict) else {"bytes": image}
            path = image.get("path")
            content = image.get("bytes") or (_beside(shard.path, path) if path else b"")
            if not isinstance(content, bytes | Path):
                raise CourseError(f"its column 'image' holds {type(content).__name__}, not bytes")
            name = str(row.get("name") or path or f"{i:06d}")
            yield name, None if label is None else str(classes.get(label, label)), content


def _beside(shard: Path, path: str) -> Path | bytes:
    """A file in the folder of a shard, there or not; none of another folder, and no pipe."""
    file, folder = shard.parent / path, shard.parent.resolve()
    inside = folder in file.resolve().parents and (file.is_file() or not file.exists())
    return file if inside else b""
