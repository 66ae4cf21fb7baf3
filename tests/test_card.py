"""The tests of `on_card`, in a process of their own: a device that torch is told of stays till its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_both_engines_run_on_a_pretended_card():
    tests = Path(__file__).with_name("on_card.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)],
        cwd=tests.parents[1],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-8000:]
