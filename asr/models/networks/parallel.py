"""Several processes that share every batch: who they are, and the normalisation over all of it."""

from __future__ import annotations

import torch
from torch import distributed, nn
from torch.distributed.nn.functional import all_reduce


def world() -> tuple[int, int]:
    """Number of the running process and how many there are; (0, 1) for one alone."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation of channels (dimension 1), with the statistics of all processes' parts of a batch.

    torch's SyncBatchNorm does that on GPUs alone.

    Reference
    ---------
    Ioffe and Szegedy 2015, "Batch normalization", algorithm 1.
    """

    counts = True  # whether what this process hears is a part of the batch

    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Any number of dimensions will do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, ...) to the same."""
        if not self.training or world()[1] == 1:
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        over, shape = (0, *range(2, x.ndim)), (1, -1, *(1,) * (x.ndim - 2))
        values = x.float()
        count = values.new_full((1,), values.numel() / values.shape[1])
        own = torch.cat([values.sum(over), values.square().sum(over), count])
        sums = all_reduce(own * float(self.counts))
        n = sums[-1]
        mean, square = (sums[:-1] / n).chunk(2)
        variance = square - mean.square()
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return ((values - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)).to(x.dtype)


def count_only(network: nn.Module, part: bool) -> None:
    """Whether the normalisation of a network counts what this process hears.

    It is a part of the batch, or a stand-in where there are more processes than utterances.
    """
    for layer in network.modules():
        if isinstance(layer, BatchNorm):
            layer.counts = part
