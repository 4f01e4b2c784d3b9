"""Training reads no memory that nothing was written to: gradients stay numbers whatever lies there."""

import os
import shutil
import subprocess
import sys

import pytest

from asr.models.networks.network import padded

# every block of memory that torch and oneDNN ask for begins as NaN, in float32 and in bfloat16
POISON = """
#include <errno.h>
#include <stdlib.h>
#include <string.h>
extern void *__libc_memalign(size_t, size_t);
int posix_memalign(void **to, size_t alignment, size_t size) {
    void *block = __libc_memalign(alignment, size);
    if (!block) return ENOMEM;
    memset(block, 0xFF, size);
    *to = block;
    return 0;
}
"""
STEP = """
import torch
from asr.models.networks.network import Network
from asr.models.networks.settings import NetworkSettings
torch.set_num_threads(2)
network = Network.seeded(0, NetworkSettings(width=32, blocks=1, lstm_layers=1), 10).train()
for frames in (30, 31, 60, 62, 90, 93, 120, 124, 150, 159, 180, 200, 270):
    samples = torch.full((7,), frames * 640)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        log_probs, _ = network(torch.randn(7, frames * 640), samples)
        log_probs[:, :frames].square().mean().backward()
for name, parameter in network.named_parameters():
    assert torch.isfinite(parameter.grad).all(), name
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_gradients_do_not_depend_on_what_lies_in_memory(tmp_path):
    (tmp_path / "poison.c").write_text(POISON)
    library = tmp_path / "poison.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "poison.c"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    done = subprocess.run([sys.executable, "-c", STEP], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_widths_are_padded_where_gradients_go_wrong():
    wrong = [31, *range(61, 64), *range(91, 96), *range(121, 128), *range(151, 160)]
    assert [n for n in range(20, 161) if padded(n) != n] == wrong
    assert {padded(n) for n in wrong} == {32, 64, 96, 128, 160}
