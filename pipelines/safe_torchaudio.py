"""torchaudio's Python parts, whichever torch stands beside it.

PyPI's Linux wheel of torchaudio 2.11 is linked against CUDA. Beside a CPU-only torch its
`_extension` package fails to load (`libc10_cuda.so`), and with it the whole import, though
resampling, mel filters, Kaldi features and the HuBERT classes are Python. torchaudio has no
switch for this, but it has a world without extension (its own pure-Python builds): where the
extension cannot load, that world is presented to it. What then is missing says so when called:
forced alignment, the RNN-T loss, the CTC decoder.

    from pipelines.safe_torchaudio import functional, kaldi, models, transforms
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import NoReturn

_EXTENSION = "torchaudio._extension"


def load() -> ModuleType:
    """`torchaudio`, with its compiled extension if that loads and without it if not.

    Raises `ModuleNotFoundError` where torchaudio is not installed.
    """
    before = set(sys.modules)
    try:
        return importlib.import_module("torchaudio")
    except ModuleNotFoundError:
        raise
    except (OSError, ImportError, RuntimeError) as error:
        # OSError: a library it is linked against is missing; RuntimeError: of another CUDA version.
        _forget(before)
        sys.modules[_EXTENSION] = _no_extension(error)
    try:
        return importlib.import_module("torchaudio")
    except BaseException:
        _forget(before)
        raise


def _forget(before: set[str]) -> None:
    """Takes torchaudio's half-imported modules out of `sys.modules`, those of `before` excepted."""
    for name in set(sys.modules) - before:
        if name == "torchaudio" or name.startswith("torchaudio."):
            del sys.modules[name]


def _no_extension(error: Exception) -> ModuleType:
    """What `torchaudio._extension` is in a build that has none."""
    module = ModuleType(_EXTENSION, "Stands in for the compiled extension, which could not be loaded.")

    def fail_if_no_align(function: Callable) -> Callable:
        def fail(*args: object, **kwargs: object) -> NoReturn:
            raise RuntimeError(f"{function.__name__} needs torchaudio's compiled extension: {error}")

        return fail

    module._IS_TORCHAUDIO_EXT_AVAILABLE = False
    module._IS_ALIGN_AVAILABLE = False
    module._load_lib = lambda lib: False
    module.fail_if_no_align = fail_if_no_align
    return module


torchaudio = load()
HAS_EXTENSION: bool = torchaudio._extension._IS_TORCHAUDIO_EXT_AVAILABLE
functional = torchaudio.functional
models = torchaudio.models
transforms = torchaudio.transforms
kaldi = importlib.import_module("torchaudio.compliance.kaldi")
