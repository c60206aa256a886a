"""Features of shards on one machine or several, on Ray Data: one Parquet file for each shard.

A shard is one task, which may run on any machine and more than once: its file appears whole or not
at all, and where it is already nothing is computed. So a worker, a machine or the whole run may be
killed at any time; started again, the same call does what is left.
"""

import errno
import hashlib
import json
import logging
import os
import pickle
import re
import socket
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch
from PIL.Image import Image

from tlcourse.base.files import make_folder, parse_json, save_file, whole_file
from tlcourse.base.machine import usable_cores
from tlcourse.base.messages import no_formula, printable, say
from tlcourse.cluster.shards import Row, Shard, read_shard
from tlcourse.engines.engine import Engine, EngineName, make_engine
from tlcourse.engines.stream import stream
from tlcourse.errors import CourseError, UnreadableError, check_choice
from tlcourse.networks.backbone import Backbone, layer_fingerprints
from tlcourse.networks.load import DEFAULT, load_backbone
from tlcourse.networks.tap import Pool
from tlcourse.tasks.pictures import open_picture
from tlcourse.tasks.split import Split

_PIECE = 1000, 2**26  # pictures, and bytes of their files, that are in memory at a time
_STORE = 2**27  # bytes of shared memory for Ray; features do not go through it
_TRIES = 5  # workers that a shard may take with it before it is left out
_ANSWER = 10  # seconds for a cluster's address to answer
_MAX_SIDE = 1024  # pixels; larger photographs are read at a reduced size, which is faster


@dataclass(frozen=True)
class Plan:
    """What is computed of each picture, and where it goes.

    Attributes:
        out: Folder for the features, which all machines see under this path.
        layers: Names from `backbone.layers`, or dotted module paths.
        backbone: A name for `load_backbone`.
        size: Side of the pictures in pixels; None takes the network's own.
        pool: How a map becomes a vector.
        engine: What runs the network; see `make_engine`.
    """

    out: Path
    layers: tuple[str, ...]
    backbone: str = DEFAULT
    size: int | None = None
    pool: Pool = "mean"
    engine: EngineName = "auto"

    @cache  # noqa: B019  a process has one plan
    def network(self) -> Backbone:
        """Load the network, once in a process."""
        network = load_backbone(self.backbone)
        return network.at_size(self.size) if self.size else network

    @cache  # noqa: B019
    def about(self) -> dict[str, Any]:
        """Describe what decides the features, with a fingerprint of it in 16 hexadecimal digits.

        Raises:
            CourseError: A layer, pooling or engine that does not exist; a network for sounds.
        """
        check_choice("engine", self.engine, get_args(EngineName))
        check_choice("pooling to vectors", self.pool, [p for p in get_args(Pool) if p != "none"])
        network = self.network()
        preprocess = network.of_pictures
        shared: dict[str, Any] = {
            "pool": self.pool,
            "max_side": max(_MAX_SIDE, 2 * preprocess.resize_size),
            "half": self.engine == "half",  # the other engines give the same
            "preprocessing": repr(preprocess),
        }
        decides = json.dumps([layer_fingerprints(network, self.layers), shared]).encode()
        decides += preprocess(preprocess.example()).numpy().tobytes()
        fingerprint = hashlib.sha256(decides).hexdigest()[:16]
        return shared | {"fingerprint": fingerprint, "backbone": network.name}

    def target(self, name: str) -> Path:
        """File for the features of the shard of this name."""
        return self.out / f"{name}-{self.about()['fingerprint']}.parquet"


@dataclass(frozen=True)
class Done:
    """What became of one shard.

    Attributes:
        shard: Its name.
        pictures: Rows of its file; None without a file.
        left_out: Name and reason of each picture without features; for a shard without a file the
            name is empty.
    """

    shard: str
    pictures: int | None
    left_out: tuple[tuple[str, str], ...] = ()


def finished(plan: Plan, shard: Shard) -> Done | None:
    """Read what became of a shard off its file; None if there is none, whole and of its content."""
    from pyarrow import ArrowException
    from pyarrow.parquet import read_metadata

    try:
        file = read_metadata(plan.target(shard.name))
        about, left_out = (parse_json(file.metadata[key]) for key in (b"tlcourse", b"left_out"))
        if about["digest"] != shard.digest:
            return None
        missed = tuple((str(name), str(reason)) for name, reason in left_out)
    except (OSError, KeyError, TypeError, ValueError, ArrowException):
        return None
    return Done(shard.name, file.num_rows, missed)


def extract(plan: Plan, shards: Sequence[Shard], *, address: str | None = None) -> list[Done]:
    """Compute the features of the shards that have none yet, on all cores of all machines.

    What has no features is also listed in `left_out.csv` in the folder of the plan.

    Args:
        plan: What to compute.
        shards: From `find_shards`.
        address: "host:port" of a Ray cluster's head, or "auto" on one of its machines; by default
            Ray is started on this machine and ended with the call.

    Returns:
        What became of each shard, in their order, whether it was computed now or before.

    Raises:
        CourseError: The extra `cluster` is not installed, nobody answers at the address, a machine
            is not set up for this plan, or the disk is full.
    """
    if not (find_spec("pyarrow") and find_spec("ray")):
        raise CourseError('Ray is not installed here: python -m pip install "tlcourse[cluster]"')
    make_folder(plan.out, "Name another one.")
    folders = {shard.path if shard.files else shard.path.parent for shard in shards}
    if any(map(plan.out.samefile, folders)):  # or a later run would take features for shards
        raise CourseError(f"{plan.out} holds the pictures. Name another folder for the features.")
    done = {shard.name: found for shard in shards if (found := finished(plan, shard))}
    left = [shard for shard in shards if shard.name not in done]
    say(f"{len(shards)} shards, {len(done)} of them done already.")
    others = set(plan.out.glob(plan.target("*").name)) - {plan.target(s.name) for s in shards}
    if others:
        twice = "Delete those of another --shard-size, or their pictures count twice."
        say(f"{plan.out} also holds {len(others)} others, such as {min(others).name}. {twice}")
    if left:
        _remove_begun(plan, left)
        try:
            with _joined(address):
                done |= {record.shard: record for record in _run(plan, left)}
        finally:
            _remove_begun(plan, left)
    records = [done[shard.name] for shard in shards]
    rows = [
        (record.shard, no_formula(name, "./"), reason)
        for record in records
        for name, reason in record.left_out
    ]
    table = pd.DataFrame(rows, columns=["shard", "name", "reason"]).to_csv(index=False).encode()
    save_file(plan.out / "left_out.csv", table, "Make room and start again: features stay.")
    return records


def _begun(plan: Plan, shards: Iterable[Shard]) -> list[Path]:
    """Temporary files of some shards: their workers are at work, or were killed."""
    ours = {plan.target(shard.name).name for shard in shards}
    parts = plan.out.glob(".*.part")  # of ".NAME.DIGITS.part", NAME is the file to be
    return [part for part in parts if part.name[1:].rsplit(".", 2)[0] in ours]


def _remove_begun(plan: Plan, shards: Iterable[Shard]) -> None:
    for part in _begun(plan, shards):
        part.unlink(missing_ok=True)


def _joined(address: str | None) -> Any:
    """Start Ray on this machine, or join the cluster at an address, until a `with` block ends."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is sent anywhere
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or Ray warns of it
    os.environ.setdefault("RAY_agent_register_timeout_ms", "60000")  # for a busy machine
    if address:
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")  # what is no Ray does not become it
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if not address:
        options |= {"num_cpus": usable_cores(), "object_store_memory": _STORE}
    for _ in range(1 if address else 3):  # Ray gives a busy machine too little time
        try:
            if address and address != "auto":
                host, _, port = address.rpartition(":")
                socket.create_connection((host, int(port)), timeout=_ANSWER).close()
            return ray.init(address or "local", include_dashboard=False, **options)
        except Exception as error:  # Ray raises nearly anything
            ray.shutdown()
            why = str(error).strip().rpartition("\n")[2].rstrip(".")
    if not address:
        raise CourseError(f"Ray does not start on this machine ({why}).")
    expected = "Expected is what `ray start --head` prints, such as 192.168.1.5:6379."
    raise CourseError(f"No Ray cluster answers at {address} ({why}). {expected}")


def _run(plan: Plan, shards: Sequence[Shard]) -> Generator[Done, None, None]:
    """Give one task per shard to Ray Data and yield what becomes of them, as they end."""
    import ray.data
    from tqdm import tqdm

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.target_max_block_size = 2**20  # bytes of a result, by which Ray Data rations tasks
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    gpu = 1 if ray.cluster_resources().get("GPU") else None
    work = partial(_work, plan, plan.about()["fingerprint"])
    rows = [{"shard": pickle.dumps(shard)} for shard in shards]
    source = ray.data.from_items(rows, override_num_blocks=len(rows))
    data = source.map(work, num_cpus=1, num_gpus=gpu, max_calls=0)
    try:
        for row in tqdm(data.iter_rows(), total=len(rows), unit="shard"):
            done = pickle.loads(row["done"])
            if isinstance(done, CourseError):
                raise done
            yield done
    except ray.exceptions.RayError as error:  # such as no tlcourse on one of the machines
        why = [line for line in str(error).splitlines() if re.match(r"[\w.]+Error: ", line)]
        raise CourseError(f"Ray has ended the run ({(why or [str(error)])[-1]}).") from error


def _work(plan: Plan, fingerprint: str, row: dict[str, Any]) -> dict[str, bytes]:
    """Do one shard in a worker."""
    try:
        done: Done | CourseError = _do(plan, fingerprint, pickle.loads(row["shard"]))
    except CourseError as error:  # raised here, it would come out wrapped several times
        done = CourseError(str(error))
    return {"done": pickle.dumps(done)}


def _do(plan: Plan, fingerprint: str, shard: Shard) -> Done:
    """Do one shard; a machine that cannot do any, or a full disk, is an error that ends the run."""
    here = f"The machine {socket.gethostname()}"
    if not plan.out.is_dir():
        raise CourseError(f"{here} does not see the folder {plan.out}; all must share a disk.")
    if plan.about()["fingerprint"] != fingerprint:
        raise CourseError(f"{here} has another version of tlcourse or of the network's weights.")
    engine = _engine(plan)
    try:
        return finished(plan, shard) or _compute(plan, shard, *engine)
    except Exception as error:
        if getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT}:
            said = f"The disk of {plan.out} is full. Make room and start again"
            raise CourseError(f"{said}: what is there stays.") from error
        reason = printable(error if isinstance(error, CourseError) else repr(error))
        # If another worker was faster, its file counts.
        return finished(plan, shard) or Done(shard.name, None, (("", reason),))


def _opened(source: bytes | Path, *, max_side: int) -> Image:
    """Open a picture; where that may be possible later, its shard is not to be finished."""
    try:
        return open_picture(source, max_side=max_side)
    except UnreadableError as error:
        if error.may_pass:
            raise CourseError(f"{error} The next run tries again.") from error
        raise


@cache
def _engine(plan: Plan) -> tuple[Engine, dict[str, int]]:
    """Make a worker's engine, once, and look how long its vectors are."""
    torch.set_num_threads(1)  # there is one worker per core
    network = plan.network()
    engine = make_engine(network, plan.layers, pool=plan.pool, engine=plan.engine)
    rows = engine([engine.prepare(network.of_pictures.example())])
    return engine, {name: row.shape[1] for name, row in rows.items()}


def _compute(plan: Plan, shard: Shard, engine: Engine, widths: dict[str, int]) -> Done:
    """Write the file of one shard."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    about = plan.about() | {"engine": engine.name, "shard": shard.name, "digest": shard.digest}
    text, vectors = pa.string(), {name: pa.list_(pa.float16(), n) for name, n in widths.items()}
    schema = pa.schema({"name": text, "label": text, **vectors}, {"tlcourse": json.dumps(about)})
    left_out, n = list[tuple[str, str]](), 0
    if (killed := len(_begun(plan, [shard]))) >= _TRIES:
        raise CourseError(f"{killed} workers were killed while they computed it")
    with (
        whole_file(plan.target(shard.name)) as part,
        ParquetWriter(part, schema, write_page_checksum=True) as writer,
    ):
        for piece in _pieces(read_shard(shard)):
            names, labels, contents = zip(*piece, strict=True)
            opened = partial(_opened, max_side=about["max_side"])
            pictures = Split(contents, [0] * len(names), names, opened)
            bad: dict[int, UnreadableError] = {}
            batches = [*stream(engine, pictures, unreadable=bad.__setitem__)]
            left_out += [(names[place], error.reason) for place, error in bad.items()]
            if not batches:
                continue
            places = [int(place) for batch, _ in batches for place in batch]
            columns: dict[str, Any] = {"name": [names[i] for i in places]}
            columns["label"] = [labels[i] for i in places]
            for name, vector in vectors.items():
                x = np.concatenate([rows[name] for _, rows in batches])
                if not (np.abs(x) <= np.finfo(np.float16).max).all():
                    raise CourseError(f"layer {name} gives numbers that do not fit into 16 bits")
                half = x.astype(np.float16).ravel()
                columns[name] = pa.FixedSizeListArray.from_arrays(half, type=vector)
            writer.write_table(pa.table(columns, schema=schema))
            n += len(places)
        writer.add_key_value_metadata({"left_out": json.dumps(left_out)})
    return Done(shard.name, n, tuple(left_out))


def _pieces(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Gather as many pictures as may be in memory; those of a folder are only named."""
    piece, size = list[Row](), 0
    for row in rows:
        piece.append(row)
        size += len(row[2]) if isinstance(row[2], bytes) else 0
        if len(piece) >= _PIECE[0] or size >= _PIECE[1]:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece
