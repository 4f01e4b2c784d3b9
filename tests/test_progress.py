"""Progress bars keep out of the way of results."""

import os
import subprocess
import sys

import pytest

pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")

CODE = """
from asr.progress import track
for i in track(range(3), "counting"):
    print("result", i)
"""


def on_a_terminal(code):
    """What code writes to a redirected stdout, and what a terminal shows of its stderr."""
    terminal, end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=end, text=True, env=environment
    )
    os.close(end)
    shown = os.read(terminal, 100000).decode()
    os.close(terminal)
    return done.stdout, shown


def test_results_reach_a_redirected_stdout_while_a_bar_is_on_the_terminal():
    written, shown = on_a_terminal(CODE)
    assert written == "result 0\nresult 1\nresult 2\n"
    assert "counting" in shown and "result" not in shown


def test_no_bar_where_there_is_no_terminal():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("result 0\nresult 1\nresult 2\n", "")


def test_what_is_waited_for_is_shown_on_a_terminal_alone():
    code = "from asr.progress import waiting\nwith waiting('loading [b]'): print('done')"
    written, shown = on_a_terminal(code)
    assert written == "done\n" and "loading [b]" in shown
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("done\n", "")
