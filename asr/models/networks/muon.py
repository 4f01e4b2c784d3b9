"""Muon: momentum made orthogonal for the matrices of the encoder, AdamW for everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

MOMENTUM = 0.95
RMS = 0.2  # of an update, as AdamW's are about, so that both take the same learning rate
QUINTIC = (3.4445, -4.7750, 2.0315)  # of the Newton-Schulz iteration: steepest at zero
ITERATIONS = 5


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """The nearest matrix (rows, columns) with orthonormal rows or columns, about: singular values 0.7 to 1.2.

    Each iteration multiplies by a polynomial of the Gram matrix, and all of these commute: their product is
    found among small square matrices, and meets the wide one once. It takes float32: in bfloat16 it blows up.

    Reference
    ---------
    Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
    """
    a, b, c = QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=1e-7)
    gram = x @ x.T
    unit = a * torch.eye(len(x), dtype=x.dtype, device=x.device)
    factor = product = torch.addmm(gram, gram, gram, beta=b, alpha=c) + unit
    for _ in range(ITERATIONS - 1):
        gram = factor @ gram @ factor
        factor = torch.addmm(gram, gram, gram, beta=b, alpha=c) + unit
        product = factor @ product
    x = product @ x
    return x.T if tall else x


class Muon(torch.optim.AdamW):
    """Steps of `orthogonal` momentum for the groups with ``matrices`` above 0, AdamW for the others.

    A weight of such a group is taken as so many matrices below each other: 1, or 4 for the gates of an LSTM.
    What follows its first axis is one axis, as of a convolution's channels and taps. `torch.optim.Muon` takes
    plain matrices alone, and one optimizer is what Lightning accumulates and resumes by itself.

    Parameters
    ----------
    groups, options
        See `torch.optim.AdamW`.

    Reference
    ---------
    Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; Liu et al. 2025, "Muon is
    scalable for LLM training", section 2.2 (weight decay, size of an update).
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns what `closure` does, which computes the gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if not group.get("matrices"):
                continue
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:  # AdamW asks every state that it loads for its step
                    state |= {"step": torch.zeros(()), "momentum": torch.zeros_like(weight)}
                state["step"] += 1.0
                momentum = state["momentum"]
                momentum.lerp_(weight.grad, 1.0 - MOMENTUM)
                ahead = weight.grad.lerp(momentum, MOMENTUM).flatten(1)
                turned = [orthogonal(m) * (RMS * max(m.shape) ** 0.5) for m in ahead.chunk(group["matrices"])]
                weight.mul_(1.0 - group["lr"] * group["weight_decay"])
                weight.sub_(torch.cat(turned).view_as(weight), alpha=group["lr"])
                weight.grad = None  # taken: nothing of it is left for AdamW
        super().step()
        return loss
