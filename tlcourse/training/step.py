"""One optimiser step: rates, mixed precision, and what to do when memory is not enough."""

import math
from typing import Any

import torch
from torch import nn

from tlcourse.base.messages import say
from tlcourse.errors import CourseError


class Stepper:
    """AdamW with warm-up and cosine, one batch at a time."""

    def __init__(
        self,
        groups: list[dict[str, Any]],
        loss: nn.Module,
        device: torch.device,
        *,
        n_steps: int = 1,
        warmup: float = 0.0,
    ) -> None:
        self.optimiser = torch.optim.AdamW(groups)
        self.highest = [group["lr"] for group in self.optimiser.param_groups]
        self.loss, self.device = loss, device
        self.n_steps, self.n_warmup = n_steps, round(warmup * n_steps)
        self.steps = 0
        self.at_once: int | None = None  # pictures, fewer than a batch once memory ran out
        # Brain floats have the range of ordinary ones; 16-bit floats need a scaled loss.
        self.mixed = device.type == "cuda"
        brain = self.mixed and torch.cuda.is_bf16_supported()
        self.precision = torch.bfloat16 if brain else torch.float16
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.mixed and not brain)

    def step(
        self,
        network: nn.Module,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        rate: float | None = None,  # a factor on each group's; by default of warm-up and cosine
    ) -> float:
        """Learn from one batch and return its loss; if that is not finite, nothing is learned."""
        factor = self._factor() if rate is None else rate
        for group, highest in zip(self.optimiser.param_groups, self.highest, strict=True):
            group["lr"] = highest * factor
        loss = None
        while loss is None:
            self.optimiser.zero_grad(set_to_none=True)
            loss = self._gradients(network, inputs, labels)
        self.steps += 1
        if math.isfinite(loss):
            self.scaler.step(self.optimiser)
            self.scaler.update()
        return loss

    def _gradients(
        self, network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor
    ) -> float | None:
        """Compute loss and gradients, in parts if need be; None if memory was not enough."""
        n = len(labels)
        at_once, total = self.at_once or n, torch.zeros((), device=self.device)
        try:
            for start in range(0, n, at_once):
                part = slice(start, start + at_once)
                with torch.autocast(self.device.type, dtype=self.precision, enabled=self.mixed):
                    loss = self.loss(network(inputs[part]), labels[part])
                loss = loss * (len(labels[part]) / n)
                self.scaler.scale(loss).backward()
                total += loss.detach()
            return total.item()
        except torch.cuda.OutOfMemoryError as error:
            if at_once == 1:
                raise CourseError(
                    "The GPU's memory is not enough for a single picture. Take smaller pictures "
                    "(backbone.at_size(128)), freeze more, or use the CPU."
                ) from error
        self.at_once = max(1, at_once // 2)
        say(
            f"The GPU's memory was not enough: {self.at_once} pictures are computed at once now. "
            "A step still learns from the whole batch."
        )
        torch.cuda.empty_cache()
        return None

    def _factor(self) -> float:
        """Share of the highest rate: rising along a line, then falling along a cosine."""
        if self.steps < self.n_warmup:
            return (self.steps + 1) / (self.n_warmup + 1)
        share = (self.steps - self.n_warmup) / max(1, self.n_steps - self.n_warmup)
        return 0.5 * (1 + math.cos(math.pi * share))
