"""How much of the gain of fine-tuning a small part of the parameters brings (notebook 11).

    python -m benchmarks.move_less --save

300 digits to learn from, over 1,000 for the test, three seeds. All begin with the same head, fitted
to the features. Rates and the width of the adapters were chosen on validation pictures (experiment
"move_less_rates"); the test pictures are opened once, at the end of each run. "peer_peft" trains
the same network with LoRA of this package and with that of `peft` (`pip install peft`), in turns.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

import tlcourse as tl
from benchmarks.recording import Row, record
from benchmarks.wins import SEEDS, digits
from tlcourse.networks.account import training_account
from tlcourse.training.finetune import freeze, trainable
from tlcourse.training.moves import RATES, moving

SIZE, EPOCHS, BATCH = 96, 6, 16
RANKS = (1, 2, 4, 8)
WHERE = ("blocks.*", "conv_head")  # peft knows no convolution with timm's padding: without the stem
OURS: dict[str, dict[str, Any]] = {
    "everything": {},
    "behind stage3": {"freeze_until": "stage3"},
    "norms": {"move": "norms"},
    "biases": {"move": "biases"},
    "adapter": {"move": "adapter"},
    **{f"lora, rank {rank}": {"move": "lora", "rank": rank} for rank in RANKS},
}


def rates() -> Iterator[Row]:
    """Validation accuracy of one seed, by the body's rate; no test picture is opened."""
    backbone, task = tl.load_backbone().at_size(SIZE), digits(0)
    tried = {"lora": (3e-3, 1e-2, 3e-2), "norms": (3e-3, 1e-2, 3e-2), "biases": (1e-2, 3e-2)}
    for move, body_rates in (tried | {"adapter": (1e-3, 3e-3, 1e-2)}).items():
        for body_rate in body_rates:
            for layer_decay in (1.0, 0.8):
                network = moving(_start(backbone, task), move)
                options = dict(RATES[move]) | {"body_rate": body_rate, "layer_decay": layer_decay}
                history = _fit(network, task, 0, options)
                best = max(epoch.val_accuracy for epoch in history.epochs)
                row = {"move": move, "body_rate": body_rate, "layer_decay": layer_decay}
                yield row | {"seed": 0, "val_accuracy": best}


def move_less() -> Iterator[Row]:
    """The fitted head alone, and what moves behind it: accuracy, parameters, bytes."""
    backbone = tl.load_backbone().at_size(SIZE)
    for seed in SEEDS:
        task = digits(seed)
        probe = tl.patterns.standalone_extractor(backbone, task, progress=False)
        yield {
            "seed": seed,
            "move": "head",
            **_said(probe),
            **_bytes(backbone, task, freeze_until="embedding"),
        }
        for name, options in OURS.items():
            yield {"seed": seed, "move": name, **one(backbone, task, seed, **options)}


def one(backbone: tl.Backbone, task: tl.Task, seed: int, **options: Any) -> Row:
    """One fine-tuning with one seed."""
    result = tl.patterns.fine_tune(
        backbone, task, seed=seed, epochs=EPOCHS, progress=False, live=False, **options
    )
    return _said(result) | _bytes(backbone, task, **options)


def _said(result: tl.Result) -> Row:
    return {
        "val_accuracy": result.val_accuracy,
        "test_accuracy": result.test_accuracy,
        "parameters": result.trainable_parameters,
    }


def _bytes(
    backbone: tl.Backbone,
    task: tl.Task,
    move: str = "everything",
    rank: int = 4,
    freeze_until: str | None = None,
) -> Row:
    """Bytes of a training step, by owner."""
    network = tl.Network(backbone, len(task.classes))
    freeze(network, freeze_until)
    network = moving(network, move, rank=rank)
    account = training_account(network.train(), (3, SIZE, SIZE), BATCH)
    return {f"bytes_{name}": size for name, size in account.bytes.as_dict().items()}


def peer_peft() -> Iterator[Row]:
    """LoRA of this package and of peft on the same layers, from the same head, in turns."""
    backbone = tl.load_backbone().at_size(SIZE)
    for seed in SEEDS:
        task = digits(seed)
        for who, add in {"tlcourse": _ours, "peft": _peft}.items():
            network = add(_start(backbone, task), seed)
            history = _fit(network, task, seed, RATES["lora"])
            parameters = trainable(network)
            yield {
                "seed": seed,
                "package": who,
                "parameters": parameters,
                "val_accuracy": max(epoch.val_accuracy for epoch in history.epochs),
                "test_accuracy": _accuracy(network, task),
                "seconds": history.seconds,
                "seconds_epoch": float(np.median([epoch.seconds for epoch in history.epochs])),
            }


def peer_peft_steps(turns: int = 24) -> Iterator[Row]:
    """Milliseconds of a training step, ours and peft's in turns, so that both meet the same load."""
    backbone = tl.load_backbone().at_size(SIZE)
    for seed in SEEDS:
        task = digits(seed)
        networks = {"tlcourse": _ours, "peft": _peft}
        networks = {who: add(_start(backbone, task), seed) for who, add in networks.items()}
        times: dict[str, list[tuple[float, float]]] = {who: [] for who in networks}
        for _ in range(turns):
            for who, network in networks.items():
                times[who].append(_step(network, task))
        for who, found in times.items():
            wall, cpu = 1000 * np.median(found[2:], axis=0)  # the first ones warm up
            row = {"seed": seed, "package": who, "step_milliseconds": float(wall)}
            yield row | {"cpu_milliseconds": float(cpu)}


def _start(backbone: tl.Backbone, task: tl.Task) -> tl.Network:
    """The network with a head that is fitted to the features."""
    probe = tl.patterns.standalone_extractor(backbone, task, progress=False)
    head = probe.backbone.model.head
    return tl.Network(backbone, len(task.classes), head=head)


def _fit(network: tl.Network, task: tl.Task, seed: int, options: Any) -> Any:
    quiet = {"start_counts": True, "progress": False, "live": False}
    return tl.fit(network, task, epochs=EPOCHS, batch_size=BATCH, seed=seed, **quiet, **options)


def _ours(network: tl.Network, seed: int) -> tl.Network:
    return tl.finetune.add_lora(network, 4, where=WHERE, seed=seed)


def _peft(network: tl.Network, seed: int) -> tl.Network:
    """Let peft put LoRA on the layers that `_ours` has; the head moves too."""
    try:
        import peft
    except ImportError as error:
        raise SystemExit("This experiment needs peft: python -m pip install peft") from error
    layers = list(_ours(network, seed).added.layers)
    torch.manual_seed(seed)
    config = peft.LoraConfig(r=4, lora_alpha=4, target_modules=layers)
    peft.inject_adapter_in_model(config, network.body)
    network.head.requires_grad_(True)
    return network


def _accuracy(network: tl.Network, task: tl.Task) -> float:
    """Share of the test pictures that a network gets right."""
    transform = network.backbone.preprocess
    found = []
    network.eval()
    with torch.inference_mode():
        for start in range(0, len(task.test), 32):
            stop = min(start + 32, len(task.test))
            batch = torch.stack([transform(task.test[i][0]) for i in range(start, stop)])
            found.append(network(batch.to(memory_format=torch.channels_last)).argmax(dim=1))
    return float((torch.cat(found).numpy() == task.test.labels).mean())


def _step(network: tl.Network, task: tl.Task) -> tuple[float, float]:
    """Seconds of one training step with 16 pictures, on the clock and of the processor."""
    transform = network.backbone.preprocess
    batch = torch.stack([transform(task.train[i][0]) for i in range(BATCH)])
    batch = batch.to(memory_format=torch.channels_last)
    labels = torch.from_numpy(task.train.labels[:BATCH])
    network.to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=0.0)
    began = time.perf_counter(), time.process_time()
    optimiser.zero_grad()
    torch.nn.functional.cross_entropy(network(batch), labels).backward()
    optimiser.step()
    return time.perf_counter() - began[0], time.process_time() - began[1]


EXPERIMENTS: dict[str, Callable[[], Iterator[Row]]] = {
    "move_less_rates": rates,
    "move_less": move_less,
    "peer_peft": peer_peft,
    "peer_peft_steps": peer_peft_steps,
}
PEER = dict.fromkeys(("peer_peft", "peer_peft_steps"), ("peft",))

if __name__ == "__main__":
    record("python -m benchmarks.move_less", __doc__, EXPERIMENTS, PEER)
