"""log Z of a lattice of label sequences as a loss: sums over paths in numba, gradients for torch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

SumOfPaths = Callable[[np.ndarray, np.ndarray], float]
"""From (frames, columns) log scores to log Z; adds (frames, columns) posteriors to its second argument."""


class _LogZ(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, scores: torch.Tensor, frames: torch.Tensor, sum_of_paths: SumOfPaths
    ) -> torch.Tensor:
        values = scores.detach().cpu().numpy()
        gradient = np.zeros(values.shape, np.float32)

        def one(item: tuple[int, int]) -> float:
            row, count = item
            return sum_of_paths(values[row, :count], gradient[row, :count])

        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            totals = list(pool.map(one, enumerate(frames.tolist())))
        ctx.save_for_backward(torch.from_numpy(gradient).to(scores.device))
        return torch.tensor(totals, dtype=torch.float32, device=scores.device)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return upstream[0][:, None, None] * gradient, None, None


def log_z(scores: torch.Tensor, frames: torch.Tensor, sum_of_paths: SumOfPaths) -> torch.Tensor:
    """(batch,) log Z, differentiable, of (batch, longest, columns) log scores of `frames` (batch,)."""
    out: torch.Tensor = _LogZ.apply(scores, frames, sum_of_paths)
    return out
