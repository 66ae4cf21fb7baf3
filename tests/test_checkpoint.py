"""Weights on disk: nothing is executed, and what does not fit is said in words."""

import pickle

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pipelines import checkpoint
from pipelines.checkpoint import CheckpointError, Size, System


class Codebook(nn.Module):
    """The seed's crash in small: a dVAE whose codebook has 256 or 512 numbers a code."""

    def __init__(self, dimension: int = 256) -> None:
        super().__init__()
        self.codes = nn.Embedding(32, dimension)
        self.out = nn.Linear(dimension, 4)


class Planted:
    """Runs on unpickling, if anybody lets it."""

    def __reduce__(self):
        return (eval, ("__import__('pathlib').Path('planted').touch()",))


SIZES = [Size("codes.weight", 1, "codes of {} numbers"), Size("codes.weight", 0, "{} codes")]


def test_a_filled_module_holds_the_very_tensors_of_the_file(tmp_path):
    tensors = Codebook().state_dict()
    checkpoint.save(tmp_path / "w.safetensors", tensors, {"source": "test"})
    read = checkpoint.read(tmp_path / "w.safetensors")
    module = checkpoint.fill(Codebook, read, "this dVAE")
    assert module.codes.weight.data_ptr() == read["codes.weight"].data_ptr()
    torch.testing.assert_close(module.state_dict(), tensors, rtol=0, atol=0)


def test_a_disagreeing_codebook_is_told_in_words():
    with pytest.raises(CheckpointError) as raised:
        checkpoint.fill(Codebook, Codebook(512).state_dict(), "this dVAE", SIZES)
    message = str(raised.value)
    assert "codes of 512 numbers, the configuration says 256" in message
    assert "size mismatch" not in message


def test_the_report_names_the_system_the_file_belongs_to():
    systems = [
        System("TorToiSe's dVAE", {"codes.weight": (32, 512)}),
        System("another", {"codes.weight": (1, 1)}),
    ]
    lines = checkpoint.report(
        checkpoint.shapes(Codebook(512).state_dict()),
        checkpoint.shapes(Codebook().state_dict()),
        "it",
        SIZES,
        systems,
    )
    assert "it looks like TorToiSe's dVAE" in lines
    assert not any("another" in line for line in lines)


def test_missing_and_foreign_tensors_are_named_and_the_rest_counted():
    found = {"codes.weight": (32, 256)} | {f"foreign{i}": (1,) for i in range(5)}
    lines = checkpoint.report(found, checkpoint.shapes(Codebook().state_dict()), "it")
    assert lines[0] == "out.weight is missing"
    assert lines[-1] == "and 4 more"


def test_a_file_that_fits_has_an_empty_report():
    shapes = checkpoint.shapes(Codebook().state_dict())
    assert checkpoint.report(shapes, shapes, "it", SIZES) == []


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_pickle_with_code_is_refused_by_name_and_not_run(tmp_path, monkeypatch, zipped):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pth"
    torch.save({"w": torch.zeros(1), "x": Planted()}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="eval"):
        checkpoint.read(path)
    assert not (tmp_path / "planted").exists()


def test_a_bare_pickle_with_code_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.ckpt"
    path.write_bytes(pickle.dumps({"x": Planted()}))
    with pytest.raises(CheckpointError):
        checkpoint.read(path)
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_plain_torch_files_of_both_formats_are_read(tmp_path, zipped):
    tensors = Codebook().state_dict()
    torch.save({"weight": tensors}, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
    read = checkpoint.read(tmp_path / "m.pt")
    torch.testing.assert_close(dict(read["weight"]), dict(tensors), rtol=0, atol=0)


def test_an_inert_stub_lets_a_named_class_through_and_no_other(tmp_path):
    torch.save({"x": Planted, "w": torch.zeros(1)}, tmp_path / "m.pt")
    read = checkpoint.read(tmp_path / "m.pt", allow=[(Planted, f"{Planted.__module__}.Planted")])
    assert read["x"] is Planted
    with pytest.raises(CheckpointError, match="Planted"):
        checkpoint.read(tmp_path / "m.pt")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.ckpt"])
@pytest.mark.parametrize("kind", ["text", "empty", "cut"])
def test_a_damaged_file_is_one_sentence(tmp_path, name, kind):
    path = tmp_path / name
    checkpoint.save(path, Codebook().state_dict()) if name.endswith("tensors") else torch.save(
        Codebook().state_dict(), path
    )
    whole = path.read_bytes()
    path.write_bytes({"text": b"not a model\n" * 20, "empty": b"", "cut": whole[: len(whole) // 2]}[kind])
    with pytest.raises(CheckpointError) as raised:
        checkpoint.read(path)
    assert name in str(raised.value) and "\n" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="absent.safetensors"):
        checkpoint.read(tmp_path / "absent.safetensors")


def test_a_changed_file_fails_its_sha256(tmp_path):
    path = tmp_path / "part.bin"
    path.write_bytes(b"abc")
    checkpoint.verify(path, checkpoint.sha256(path), "part")
    path.write_bytes(b"abd")
    with pytest.raises(CheckpointError, match="sha256"):
        checkpoint.verify(path, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "part")


@pytest.mark.parametrize(
    "norm", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm], ids=["old", "new"]
)
@pytest.mark.parametrize("kind", [nn.Conv1d, nn.ConvTranspose1d], ids=["conv", "transposed"])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_folded_weight_norm_computes_the_same(norm, kind):
    normed = norm(kind(3, 5, 4))
    tensors = {name: tensor * (torch.rand_like(tensor) + 0.5) for name, tensor in normed.state_dict().items()}
    normed.load_state_dict(tensors)
    x = torch.randn(2, 3, 9)
    plain = kind(3, 5, 4)
    plain.load_state_dict(checkpoint.fold_weight_norm(tensors))
    torch.testing.assert_close(plain(x), normed(x))


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "w.safetensors"
    checkpoint.save(path, {"a": torch.ones(1)})
    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError):
        checkpoint.save(path, {"a": torch.zeros(1)})
    assert load_file(path)["a"] == 1 and len(list(tmp_path.iterdir())) == 1
