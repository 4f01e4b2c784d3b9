"""What `import asr` offers, without importing it."""

import importlib
import subprocess
import sys

import pytest

import asr


def test_every_public_name_is_the_one_of_its_module():
    for name, home in asr._HOME.items():
        assert getattr(asr, name) is getattr(importlib.import_module(home), name)
        assert getattr(asr, name).__module__ == home
    assert set(asr.__all__) <= set(dir(asr))


def test_public_names_are_imported_when_they_are_used():
    code = (
        "import sys, asr; before = set(sys.modules); from asr import AsrError; "
        "print('asr.errors' in before, 'asr.errors' in sys.modules, "
        "sorted({'torch', 'lhotse', 'numpy', 'kaldifst'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False True []\n"


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match="'asr' has no attribute 'Sytem'"):
        _ = asr.Sytem
    with pytest.raises(ImportError, match="Sytem"):
        exec("from asr import Sytem")


def test_a_system_needs_no_lightning():
    """`asr transcribe` would wait seconds for what training alone uses."""
    code = "import sys; from asr import System; print('torch' in sys.modules, 'lightning' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"
