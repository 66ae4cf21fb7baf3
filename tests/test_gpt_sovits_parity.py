"""The parity harness notices what it should; and, where the fixtures are, our numbers are the reference's.

All fixtures are for `python -m tests.parity`; here are those that take seconds.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipelines.engines.gpt_sovits.sampling import Draw, probabilities
from pipelines.layers.sampling import penalise
from tests import parity

QUICK = (
    "sampler",
    "spectrograms",
    "t2s_v2_plain_bert",
    "t2s_v2_no_prompt",
    "s2_v2_extract_latent",
    "s2_v2_enc_p",
    "s2_v2_flow",
    "s2_v2_decode",
)


@pytest.mark.parametrize("case", QUICK)
def test_our_numbers_are_the_references(case, scratch):
    path = parity.GOLDENS / f"gpt_sovits_{case}.safetensors"
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    lines = parity.check(parity.Fixture.read(path), parity.Weights(parity.GOLDENS), scratch)
    assert lines and all(line.good for line in lines), "\n".join(map(str, lines))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    """Shared, so that cases of one checkpoint convert it once."""
    return tmp_path_factory.mktemp("parity")


# ----------------------------------------------------------------------------------- the harness


@pytest.fixture
def goldens(tmp_path: Path) -> Path:
    """A folder whose formula gives no weights, since the sampler needs none."""
    folder = tmp_path / "goldens"
    (folder / "shapes").mkdir(parents=True)
    (folder / "formula.py").write_text("def state_dict(shapes, salt):\n    return {}\n")
    return folder


def fixture(folder: Path, case: str = "sampler", tolerance: str = "1e-5", **outputs: torch.Tensor) -> Path:
    """A fixture of the sampler, like the shared ones; `outputs` replace or add to the right ones."""
    draw = Draw(top_k=5, repetition_penalty=1.3)
    logits, said = torch.randn(1, 9, generator=torch.Generator().manual_seed(0)), torch.tensor([[1, 2]])
    after = penalise(logits, said, draw.repetition_penalty)
    right = {"logits_after_0": after, "probs_0": probabilities(after, draw)} | outputs
    tensors = {"in.logits": logits, "in.previous": said} | {f"out.{n}": t for n, t in right.items() if len(t)}
    knobs = {"top_k": 5, "top_p": 1, "temperature": 1.0, "repetition_penalty": 1.3}
    told = {"engine": "gpt_sovits", "case": case, "kind": "none", "salt": "7", "tolerance": tolerance}
    path = folder / "gpt_sovits_case.safetensors"
    save_file(tensors, path, told | {"config": json.dumps({"settings": [knobs]}), "call": "in words"})
    return path


def run(goldens: Path, *files: Path) -> int:
    return parity.main([*map(str, files), "--goldens", str(goldens)])


def test_what_agrees_is_told_line_by_line(goldens, capsys):
    assert run(goldens, fixture(goldens)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2:4] for line in lines] == [["ok", "logits_after_0"], ["ok", "probs_0"]]


@pytest.mark.parametrize(
    "outputs",
    [
        {"probs_0": torch.full((1, 9), 1 / 9)},  # far off
        {"probs_0": torch.full((1, 9), torch.nan)},
        {"probs_0": torch.rand(1, 8)},  # of another shape
        {"probs_1": torch.rand(1, 9)},  # that nobody computes
        {"logits_after_0": torch.empty(0), "probs_0": torch.empty(0)},  # nothing to compare
    ],
    ids=["far", "nan", "shape", "missing", "nothing"],
)
def test_what_does_not_agree_is_an_exit_code(goldens, capsys, outputs):
    assert run(goldens, fixture(goldens, **outputs)) == 1
    assert "BAD" in capsys.readouterr().out


def test_a_fixture_that_cannot_be_run_is_told(goldens, tmp_path, capsys):
    noise = tmp_path / "noise.safetensors"
    noise.write_bytes(b"noise")
    assert run(goldens, noise) == 2
    assert run(goldens, tmp_path / "gone.safetensors") == 2
    assert run(goldens, fixture(goldens, case="s2_v9_dream")) == 2
    assert "There is no case 'dream'" in capsys.readouterr().out
    assert run(tmp_path, fixture(goldens)) == 2
    assert "give its folder by --goldens" in capsys.readouterr().err


def test_one_bad_fixture_is_not_hidden_by_a_good_one(goldens, tmp_path, capsys):
    good = fixture(goldens).rename(tmp_path / "good.safetensors")
    bad = fixture(goldens, probs_0=torch.rand(1, 9))
    assert run(goldens, good, bad) == run(goldens, bad, good) == 1
