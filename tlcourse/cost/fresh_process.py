"""The accounting against the machine: how much a fresh process grows in its first training step.

A process that has worked before holds freed memory that it uses again, so only a fresh one shows
what a step takes. Nothing is warmed up: threads and kernels that start in the first step count in
its growth, which is why a small step grows a little more than the account says. Where owners reach
their largest figures at different moments it grows less.
"""

import json
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tlcourse.base.machine import MIB
from tlcourse.errors import CourseError


@dataclass(frozen=True)
class FirstStep:
    """What the account says of a training step, and what a fresh process grew by.

    Attributes:
        accounted_bytes: Gradients, optimiser state, activations and working memory. Parameters,
            buffers and the batch are there before the step.
        grown_bytes: Growth of the process's resident memory, at its peak.
        owners: The accounted bytes by owner.
    """

    accounted_bytes: int
    grown_bytes: int
    owners: dict[str, int]

    @property
    def ratio(self) -> float:
        """Growth over account; 1 is perfect agreement."""
        return self.grown_bytes / self.accounted_bytes

    def __repr__(self) -> str:
        return (
            f"accounted {self.accounted_bytes / MIB:.0f} MiB, the process grew by "
            f"{self.grown_bytes / MIB:.0f} MiB: {self.ratio:.2f} times the account"
        )


def first_step(
    *,
    name: str = "efficientnet_lite0",
    batch: int = 16,
    size: int = 128,
    freeze_until: str | None = None,
) -> FirstStep:
    """Make one training step in a new process on the CPU, and compare its growth with the account.

    Args:
        name: Backbone that is loaded there, without trained weights if they need a download.
        batch: Pictures in the step.
        size: Side of a picture in pixels.
        freeze_until: Last frozen layer.

    Raises:
        CourseError: The new process failed; its last line is quoted.
    """
    options = {"name": name, "batch": batch, "size": size, "freeze_until": freeze_until}
    done = subprocess.run(
        [sys.executable, "-m", "tlcourse.cost.fresh_process", json.dumps(options)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise CourseError(f"The fresh process failed: {lines[-1][:200]}")
    return FirstStep(**json.loads(done.stdout.strip().splitlines()[-1]))


def _measure(name: str, batch: int, size: int, freeze_until: str | None) -> FirstStep:
    """Do it in this process, which must be a fresh one."""
    from tlcourse.base.machine import give_memory_back
    from tlcourse.cost.passes import step_bench
    from tlcourse.networks.load import DEFAULT, load_backbone

    backbone = load_backbone(name, pretrained=name == DEFAULT, device="cpu")
    bench = step_bench(backbone, batch=batch, size=size, freeze_until=freeze_until)
    owners = bench.account.bytes.as_dict()
    if bench.account.bytes.activations == 0:
        raise CourseError("There is nothing to train in this network.")
    inputs = bench.inputs.untyped_storage().nbytes() + bench.labels.untyped_storage().nbytes()
    give_memory_back()
    with _Growth() as growth:
        bench.run()
    rising = ("gradients", "optimiser_state", "activations", "working")
    return FirstStep(sum(owners[k] for k in rising) - inputs, growth.bytes, owners)


class _Growth:
    """Largest growth of the resident memory while a block runs.

    Linux keeps the peak itself and lets it be reset. Elsewhere, and where that is not permitted,
    the memory is looked at every millisecond, which may miss a short peak.
    """

    def __enter__(self) -> "_Growth":
        import psutil

        self._process = psutil.Process()
        self.bytes = 0
        self._before = self._process.memory_info().rss
        self._kept = False
        self._ended = threading.Event()
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
            self._kept = True
        if not self._kept:
            self._watcher = threading.Thread(target=self._watch, daemon=True)
            self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        from tlcourse.base.machine import peak_resident

        if self._kept:
            self.bytes = peak_resident(self._process) - self._before
        else:
            self._ended.set()
            self._watcher.join()

    def _watch(self) -> None:
        while True:
            self.bytes = max(self.bytes, self._process.memory_info().rss - self._before)
            if self._ended.wait(0.001):
                return


if __name__ == "__main__":
    from dataclasses import asdict

    print(json.dumps(asdict(_measure(**json.loads(sys.argv[1])))))  # noqa: T201  its one result
