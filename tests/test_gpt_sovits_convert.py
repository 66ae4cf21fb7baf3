"""Official files of GPT-SoVITS: told by what they hold, taken whole or refused in a sentence."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import random
import shutil
import struct
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from pipelines import checkpoint
from pipelines import convert as commands
from pipelines.checkpoint import CheckpointError
from pipelines.device import MODES, Placement, Verdict
from pipelines.engines.gpt_sovits import engine as engines
from pipelines.engines.gpt_sovits import missing, parts, prepare
from pipelines.engines.gpt_sovits.convert import convert, recognise
from pipelines.layers.bert import Bert, BertConfig
from pipelines.registry import Engines
from pipelines.synthesis import clone
from pipelines.types import Consent, InputError, Request, Run, Sampling, Take, Wish
from tests import official_gpt_sovits as official

V2 = {"model": {"upsample_rates": [10, 8, 2, 2, 2], "version": "v2"}, "train": {"epochs": 8}}


@pytest.fixture
def s1(tmp_path: Path) -> Path:
    return official.save_s1(tmp_path / "s1 my voice-e12.ckpt", official.filled(official.speaker()))


@pytest.fixture
def s2(tmp_path: Path) -> Path:
    return official.save_s2(tmp_path / "s2G2333k.pth", official.filled(official.decoder()), V2)


@pytest.fixture
def hubert(tmp_path: Path) -> Path:
    return official.save_hubert(tmp_path / "chinese-hubert-base", official.filled(official.hubert()))


def empty(folder: Path) -> bool:
    """Whether nothing is left in the folder, not even a draft."""
    return not folder.exists() or not any(folder.iterdir())


# ------------------------------------------------------------------------------------ what it is


def test_a_source_is_told_by_what_it_holds_whatever_its_name(s1, s2, hubert, tmp_path):
    assert recognise(s1) == ("speaker", "v2")
    assert recognise(s2) == ("decoder", "v2")
    assert recognise(hubert) == ("hubert", "")
    swapped = tmp_path / "s2 really.pth"
    shutil.copy(s1, swapped)
    assert recognise(swapped) == ("speaker", "v2")


def test_the_phones_tell_v1(tmp_path):
    speaker = official.save_s1(tmp_path / "s1.ckpt", official.filled(official.speaker(512)))
    decoder = official.save_s2(tmp_path / "s2.pth", official.filled(official.decoder(322)), V2)
    assert recognise(speaker) == ("speaker", "v1")
    assert recognise(decoder) == ("decoder", "v1")


def test_a_verification_tells_v2pro_and_a_tagged_file_is_read_as_any_other(tmp_path):
    weights = official.filled(official.decoder(verified=True))
    plain = official.save_s2(tmp_path / "plain.pth", weights, V2)
    tagged = official.save_s2(tmp_path / "tagged.pth", weights, V2, tag=b"05")
    assert recognise(plain) == recognise(tagged) == ("decoder", "v2Pro")
    made = [convert(source, tmp_path / source.stem) for source in (plain, tagged)]
    for network in ("listen", "render"):
        one, other = (checkpoint.read(part.folder / f"{network}.safetensors") for part in made)
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert made[0].config.encoder.verifier == official.VERIFIED


def test_what_only_training_uses_is_left_out(tmp_path):
    whole = official.filled(official.decoder())
    tuned = {name: tensor for name, tensor in whole.items() if not name.startswith("enc_q")}
    made = [
        convert(official.save_s2(tmp_path / f"{name}.pth", weights, V2), tmp_path / name)
        for name, weights in (("whole", whole), ("tuned", tuned))
    ]
    one, other = (checkpoint.read(part.folder / "render.safetensors") for part in made)
    torch.testing.assert_close(one, other, rtol=0, atol=0)


# ------------------------------------------------------------------------------------- the weights


def test_weight_norm_is_folded_as_torch_computes_it(s2, hubert, tmp_path):
    weights = official.filled(official.decoder())
    render = checkpoint.read(convert(s2, tmp_path / "models").folder / "render.safetensors")
    for theirs, ours in (
        ("dec.ups.0", "generator.ups.0"),
        ("flow.flows.2.enc.in_layers.1", "couplings.1.wavenet.in_layers.1"),
    ):
        gain, direction = weights[f"{theirs}.weight_g"], weights[f"{theirs}.weight_v"]
        expected = torch._weight_norm(direction, gain, 0)
        torch.testing.assert_close(render[f"{ours}.weight"], expected, rtol=1e-6, atol=1e-7)
    positions = official.filled(official.hubert())
    stem = "encoder.pos_conv_embed.conv"
    expected = torch._weight_norm(positions[f"{stem}.weight_v"], positions[f"{stem}.weight_g"], 2)
    folded = checkpoint.read(convert(hubert, tmp_path / "models").folder / "hubert.safetensors")
    torch.testing.assert_close(folded["position.weight"], expected, rtol=1e-6, atol=1e-7)


def test_both_spellings_of_weight_norm_are_one(tmp_path, hubert):
    weights = official.filled(official.hubert())
    stem = "encoder.pos_conv_embed.conv."
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        weights[f"{stem}parametrizations.weight.{new}"] = weights.pop(stem + old)
    other = official.save_hubert(tmp_path / "newer", weights)
    made = [
        checkpoint.read(convert(x, tmp_path / "m").folder / "hubert.safetensors") for x in (hubert, other)
    ]
    torch.testing.assert_close(*made, rtol=0, atol=0)


def test_the_files_precision_is_kept(tmp_path):
    weights = {name: tensor.to(torch.float16) for name, tensor in official.filled(official.speaker()).items()}
    part = convert(official.save_s1(tmp_path / "tuned.ckpt", weights), tmp_path / "models")
    tensors = checkpoint.read(part.folder / "speaker.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert next(part.load("speaker", Placement(), "say").parameters()).dtype == torch.float32


def test_a_part_tells_its_source_and_is_made_once(s1, tmp_path):
    models = tmp_path / "models"
    part = convert(s1, models)
    assert part.folder.name == "s1-my-voice-e12"
    told = json.loads((part.folder / "config.json").read_text())
    assert told["sources"] == {s1.name: checkpoint.sha256(s1)}
    assert told["files"] == {"speaker.safetensors": checkpoint.sha256(part.folder / "speaker.safetensors")}
    assert convert(s1, models) == part
    assert [path.name for path in models.iterdir()] == [part.folder.name]


def test_two_files_of_one_name_are_two_parts(s1, tmp_path):
    first = convert(s1, tmp_path / "models")
    official.save_s1(s1, official.filled(official.speaker(), seed=1))
    second = convert(s1, tmp_path / "models")
    assert second.folder != first.folder and second.folder.name.startswith(first.folder.name)


# --------------------------------------------------------------------------------- hostile files


class Planted:
    """Runs on unpickling, if anybody lets it."""

    def __reduce__(self):
        return (eval, ("__import__('pathlib').Path('planted').touch()",))


@pytest.mark.parametrize("tag", [b"", b"05"])
def test_a_pickle_with_code_is_refused_by_the_name_of_what_it_asks(tmp_path, monkeypatch, tag):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pth"
    torch.save({"weight": {"x": torch.zeros(1)}, "config": Planted()}, path)
    if tag:
        path.write_bytes(tag + path.read_bytes()[2:])
    for work in (recognise, lambda source: convert(source, tmp_path / "models")):
        with pytest.raises(CheckpointError, match=r"evil\.pth was refused: .*eval"):
            work(path)
    assert not (tmp_path / "planted").exists() and empty(tmp_path / "models")


def test_a_bare_pickle_with_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.ckpt"
    path.write_bytes(pickle.dumps(Planted(), protocol=2))
    with pytest.raises(CheckpointError):
        convert(path, tmp_path / "models")
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("tag", [b"00", b"01", b"02", b"03", b"04", b"05", b"06"])
@pytest.mark.parametrize("place", ["weight", "config", "info", "of a weight"])
def test_no_first_bytes_and_no_place_hide_a_pickle_with_code(tmp_path, monkeypatch, tag, place):
    monkeypatch.chdir(tmp_path)
    contents: dict[str, object] = {"weight": {"x": torch.zeros(1)}, "config": {"model": {}}, "info": "8e"}
    if place == "of a weight":
        contents["weight"] = {"x": torch.zeros(1), "deep": [{"y": (Planted(),)}]}
    else:
        contents[place] = {"model": {"version": Planted()}} if place == "config" else Planted()
    path = tmp_path / "evil.pth"
    torch.save(contents, path)
    path.write_bytes(tag + path.read_bytes()[2:])
    with pytest.raises(CheckpointError, match=r"evil\.pth was refused: .*eval"):
        convert(path, tmp_path / "models")
    assert not (tmp_path / "planted").exists() and empty(tmp_path / "models")


@pytest.mark.parametrize("kept", [0, 1, 2, 1000, 1 / 3, 2 / 3, -100])
def test_a_file_cut_short_is_refused(s1, s2, hubert, tmp_path, kept):
    tagged = tmp_path / "tagged.pth"
    tagged.write_bytes(b"01" + s2.read_bytes()[2:])
    for source, weights in ((s1, s1), (s2, s2), (tagged, tagged), (hubert, hubert / "pytorch_model.bin")):
        whole = weights.read_bytes()
        weights.write_bytes(whole[: round(kept * len(whole)) if isinstance(kept, float) else kept])
        for work in (recognise, lambda source: convert(source, tmp_path / "models")):
            with pytest.raises(CheckpointError, match=rf"{source.name}|{weights.name}") as raised:
                work(source)
            assert "\n" not in str(raised.value)
    assert empty(tmp_path / "models")


@pytest.mark.parametrize("tag", [b"", b"06"])
def test_a_zip_that_claims_more_than_its_bytes_is_not_unpacked(tmp_path, tag):
    official.save_s1(tmp_path / "bomb.ckpt", official.filled(official.speaker()))
    content = bytearray((tmp_path / "bomb.ckpt").read_bytes())
    entry = content.index(b"PK\x01\x02")  # the first record of the directory: its packed and unpacked sizes
    content[entry + 20 : entry + 28] = struct.pack("<II", 0xFFFF_FFF0, 0xFFFF_FFF0)
    (tmp_path / "bomb.ckpt").write_bytes(tag + content[len(tag) :])
    packed = tmp_path / "packed.pth"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("packed/data.pkl", bytes(50_000_000))
        archive.writestr("packed/version", "3")
    huge = tmp_path / "huge.pth"
    with zipfile.ZipFile(huge, "w") as archive:
        archive.writestr("huge/data.pkl", b"x")
        archive.infolist()[0].file_size = 100_000_000_000
    for path in (tmp_path / "bomb.ckpt", packed, huge):
        with pytest.raises(CheckpointError, match=rf"{path.name} was refused: .*Nothing of it was unpacked"):
            convert(path, tmp_path / "models")
    assert empty(tmp_path / "models")


def test_a_few_bytes_that_claim_to_be_many_numbers_are_refused(tmp_path):
    weights = official.filled(official.speaker())
    weights["model.h.layers.0.linear1.weight"] = torch.zeros(1).expand(10**6, 10**6)
    path = tmp_path / "wide.ckpt"
    torch.save({"weight": weights, "config": {}}, path)
    with pytest.raises(CheckpointError, match=r"wide\.ckpt was refused: .*1,000,000,000,000 numbers"):
        convert(path, tmp_path / "models")
    assert empty(tmp_path / "models")


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(2, 2).to_sparse(),
        torch.zeros(2, dtype=torch.complex64),
        torch.empty(10**9, device="meta"),
    ],
    ids=["sparse", "complex", "meta"],
)
def test_what_is_no_plain_array_is_refused(tmp_path, tensor):
    path = tmp_path / "odd.ckpt"
    torch.save({"weight": official.filled(official.speaker()) | {"model.bert_proj.bias": tensor}}, path)
    with pytest.raises(CheckpointError, match=r"odd\.ckpt"):
        convert(path, tmp_path / "models")


def _cyclic() -> dict[str, object]:
    config: dict[str, object] = {"data": {}}
    config["model"] = config
    return config


@pytest.mark.parametrize(
    "config",
    [
        {"model": {"upsample_rates": [10, 8, 2, 2]}},
        {"model": {"upsample_rates": [10, 8, 2, 2, -2]}},
        {"model": {"upsample_rates": [10, 8, 2, 2, 4]}},
        {"model": {"upsample_rates": 640}},
        {"model": {"upsample_rates": ["10", 8, 2, 2, 2]}},
        {"model": {"head": 0}},
        {"model": {"head": "two"}},
        {"model": {"head": 10**12}},
    ],
    ids=str,
)
def test_a_configuration_of_nonsense_is_refused_in_a_sentence(tmp_path, config):
    kind = "speaker" if "head" in config["model"] else "decoder"
    path = tmp_path / "odd.pth"
    torch.save({"weight": official.filled(getattr(official, kind)()), "config": config}, path)
    with pytest.raises(CheckpointError, match=r"odd\.pth does not fit: its configuration tells"):
        convert(path, tmp_path / "models")
    assert empty(tmp_path / "models")


@pytest.mark.parametrize("config", [_cyclic(), {"model": None}, [1, 2], "v2", None], ids=str)
def test_a_configuration_that_tells_nothing_does_no_harm(tmp_path, config):
    path = tmp_path / "plain.pth"
    torch.save({"weight": official.filled(official.decoder()), "config": config}, path)
    assert convert(path, tmp_path / "models").version == "v2"


@pytest.mark.parametrize("seed", range(40))
def test_whatever_shapes_a_file_has_it_is_taken_or_refused_in_a_sentence(tmp_path, seed):
    chance = random.Random(seed)
    kind = chance.choice(["speaker", "decoder", "hubert"])
    weights = official.filled(getattr(official, kind)())
    for name in chance.sample(sorted(weights), 2):
        tensor = weights[name]
        weights[name] = chance.choice(
            [
                torch.zeros(()),
                tensor.flatten(),
                tensor[:0],
                tensor.to(torch.int64),
                tensor[None],
                tensor[..., :0],
            ]
        )
    if chance.random() < 0.5:
        del weights[chance.choice(sorted(weights))]
    path = tmp_path / "odd.bin"
    torch.save({"weight": weights, "config": {"model": {"head": 2}}}, path)
    with pytest.raises(CheckpointError, match="odd.bin") as raised:
        convert(path, tmp_path / "models")
    assert "\n" not in str(raised.value) and empty(tmp_path / "models")


def test_bytes_that_mean_nothing_are_refused_whatever_they_are(tmp_path):
    chance, path = random.Random(0), tmp_path / "noise.pth"
    told = io.BytesIO()
    torch.save({"weight": {"x": torch.zeros(3)}}, told, _use_new_zipfile_serialization=False)
    for number in range(150):
        data = bytearray(told.getvalue() if number % 2 else chance.randbytes(chance.randrange(1, 200)))
        for _ in range(5):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        with pytest.raises(CheckpointError), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch's, of a pickle protocol it does not know
            recognise(path)


def test_first_bytes_that_say_another_version_are_refused(tmp_path):
    path = official.save_s2(tmp_path / "x.pth", official.filled(official.decoder()), V2, tag=b"06")
    with pytest.raises(CheckpointError, match="holds a decoder of v2, though its first bytes say v2ProPlus"):
        convert(path, tmp_path / "models")
    assert empty(tmp_path / "models")


def test_unknown_first_bytes_are_refused(tmp_path):
    path = official.save_s2(tmp_path / "x.pth", official.filled(official.decoder()), V2, tag=b"99")
    with pytest.raises(CheckpointError, match=r"x\.pth"):
        convert(path, tmp_path / "models")


def _without(name: str) -> dict[str, torch.Tensor]:
    weights = official.filled(official.decoder())
    del weights[name]
    return weights


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (lambda: _without("dec.ups.1.bias"), r"generator\.ups\.1\.bias is missing"),
        (lambda: _without("enc_p.encoder2.attn_layers.0.conv_k.weight"), "does not fit"),
        (lambda: _without("dec.cond.weight"), "does not fit"),
        (lambda: official.filled(official.decoder()) | {"dec.x": torch.zeros(1)}, "x is not part of"),
        (lambda: official.filled(official.decoder()) | {"y.x": torch.zeros(1)}, "y.x is not part of"),
        (lambda: official.filled(official.decoder(400)), "for 400 phones; v1 has 322"),
        (lambda: official.filled(official.speaker(400)), "for 400 phones; v1 has 512"),
        (lambda: official.filled(official.speaker()) | {"z": torch.zeros(1)}, "z is not known"),
        (lambda: {"some.weight": torch.zeros(3)}, "is nothing that GPT-SoVITS speaks with"),
        (lambda: {"words": "only"}, "holds no weights"),
        (lambda: official.filled(official.decoder()) | {"prior": torch.zeros(1)}, "prior"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(tmp_path, weights, words):
    path = official.save_s2(tmp_path / "x.pth", weights(), V2)
    with pytest.raises(CheckpointError, match=words) as raised:
        convert(path, tmp_path / "models")
    assert "\n" not in str(raised.value) and "size mismatch" not in str(raised.value)
    assert empty(tmp_path / "models")


def test_weights_that_are_not_numbers_are_refused(tmp_path):
    weights = official.filled(official.speaker())
    weights["model.bert_proj.bias"][0] = torch.nan
    path = official.save_s1(tmp_path / "nan.ckpt", weights)
    with pytest.raises(CheckpointError, match=r"damaged: features\.bias is not finite"):
        convert(path, tmp_path / "models")
    assert empty(tmp_path / "models")


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("of", ["shutil.copyfile", "pipelines.checkpoint.save", "pathlib.Path.write_text"])
def test_a_disk_that_fills_up_is_told_and_leaves_nothing(s2, tmp_path, monkeypatch, of):
    s2.write_bytes(b"01" + s2.read_bytes()[2:])  # a tagged file is copied before it is read
    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.setattr(of, full)
    code = commands.main(["gpt_sovits", str(s2), "--models", str(tmp_path / "models")])
    monkeypatch.undo()
    assert code == 2 and empty(tmp_path / "models" / "gpt_sovits")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "models") == before
    with pytest.raises(CheckpointError, match="was not converted: the disk of .* is full"):
        monkeypatch.setattr(of, full)
        convert(s2, tmp_path / "models")


def test_a_disk_that_is_full_is_what_safetensors_says_it_is(tmp_path, monkeypatch):
    def refused(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", refused)
    with pytest.raises(OSError, match="No space left") as raised:
        checkpoint.save(tmp_path / "x.safetensors", {"x": torch.zeros(1)})
    assert raised.value.errno == errno.ENOSPC and empty(tmp_path)


def test_a_file_that_may_not_be_read_is_told(s1, tmp_path, monkeypatch):
    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(s1))

    monkeypatch.setattr(checkpoint, "sha256", refused)
    with pytest.raises(CheckpointError, match="cannot be read or written .Permission denied"):
        convert(s1, tmp_path / "models")


def test_names_in_any_script_are_taken(s1, s2, tmp_path):
    for source, name in ((s1, "声音 é.ckpt"), (s2, "голос\u202e.pth")):
        part = convert(source.rename(tmp_path / name), tmp_path / "models")
        assert part.folder.parent == tmp_path / "models" and part.folder.name.isascii()
        assert parts.described(part.folder).sources == part.sources


def test_a_folder_or_file_that_is_not_there_is_told(tmp_path):
    (tmp_path / "hollow").mkdir()
    with pytest.raises(CheckpointError, match="hollow holds no model.safetensors"):
        convert(tmp_path / "hollow", tmp_path / "models")
    with pytest.raises(CheckpointError, match="no gone.pth"):
        convert(tmp_path / "gone.pth", tmp_path / "models")


# ------------------------------------------------------------------------------ speaking together


def test_official_files_become_an_engine_that_speaks(s1, s2, hubert, tmp_path, reference):
    models = tmp_path / "models"
    assert "not installed" in missing(models)
    for source in (s1, s2):
        convert(source, models)
    assert "lacks HuBERT" in missing(models)
    with pytest.raises(InputError, match="not installed"):
        prepare(models, lambda *progress: None)
    convert(hubert, models)
    assert "chosen when it is first used" in missing(models)
    prepare(models, lambda *progress: None)
    assert missing(models) is None
    engine = engines.load(models, Placement())
    voice = engine.listen(reference, "what it says", Run())
    phrase = engine.read("some words", "en")
    units = engine.say(phrase, voice, Sampling(seed=1), Run())[0]
    sound = torch.cat([piece.samples for piece in engine.render(units, phrase, voice, Run())])
    assert len(sound) / engine.sample_rate == pytest.approx(units.seconds)
    assert sound.isfinite().all() and float(sound.std()) > 0


def test_versions_that_are_not_chosen_weigh_nothing(s1, s2, hubert, tmp_path):
    shop = Engines(tmp_path / "models", tmp_path / "data", {})
    folder = tmp_path / "models" / "gpt_sovits"
    assert shop._weight("gpt_sovits") == 0
    for source in (s1, s2, hubert):
        convert(source, folder)
    prepare(folder, lambda *progress: None)
    weight = shop._weight("gpt_sovits")
    assert weight == sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
    convert(official.save_s1(tmp_path / "one.ckpt", official.filled(official.speaker(512))), folder)
    assert shop._weight("gpt_sovits") == weight


def test_swapped_files_are_told_apart_and_what_is_missing_is_named_on_the_command_line(
    s1, s2, tmp_path, capsys
):
    swapped = s1.rename(tmp_path / "s2.pth"), s2.rename(tmp_path / "s1.ckpt")
    where = ["--models", str(tmp_path / "models")]
    assert commands.main(["gpt_sovits", *map(str, swapped), *where]) == 0
    told = capsys.readouterr().out
    assert "s2.pth: speaker v2" in told and "s1.ckpt: decoder v2" in told
    assert "nearest is v2, which lacks HuBERT. Install it on the Models screen" in told
    v1 = official.save_s1(tmp_path / "one.ckpt", official.filled(official.speaker(512)))
    assert commands.main(["gpt_sovits", str(v1), *where]) == 0
    assert "lacks HuBERT" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "models" / "gpt_sovits" / "s2")  # a decoder of v2 and a speaker of v1 are left
    assert commands.main(["gpt_sovits", str(v1), *where]) == 0
    assert "nearest is v2, which lacks HuBERT, speaker (s1) of v2." in capsys.readouterr().out


def test_a_request_goes_from_official_files_to_a_take(s1, s2, hubert, tmp_path, reference):
    for source in (s1, s2, hubert):
        convert(source, tmp_path / "models" / "gpt_sovits")
    safe = Verdict("safe", True, 0.0, 2.0, "")
    table = {"cpu": dict.fromkeys(MODES, safe)}
    shop = Engines(tmp_path / "models", tmp_path / "data", table)

    def take(seed: int, precision: str) -> Take:
        sampling = Sampling(seed=seed, top_k=5, repetition_penalty=1.35)
        asked = Request(
            "gpt_sovits",
            "One sentence. [pause 0.1s] Another.",
            reference,
            transcript="what it says",
            sampling=sampling,
            wish=Wish("cpu", precision),
            consent=Consent("I may.", "2026-01-01"),
        )
        *_, last = clone(shop, asked)
        return last

    first = take(1, "float32")
    assert [stage.stage for stage in first.stages] == ["listen", *["read", "say", "render"] * 2]
    assert first.waveform.sample_rate == 32_000 and len(first.said) == 2
    assert take(1, "float32").sha256 == first.sha256 != take(2, "float32").sha256
    assert take(1, "bfloat16").waveform.samples.isfinite().all()


def test_a_speaker_of_v1_does_not_speak_with_a_decoder_of_v2(s2, hubert, tmp_path):
    models = tmp_path / "models"
    first = convert(official.save_s1(tmp_path / "one.ckpt", official.filled(official.speaker(512))), models)
    for source in (s2, hubert):
        convert(source, models)
    with pytest.raises(InputError, match="lacks its speaker"):
        parts.choose(models, "v2")
    with pytest.raises(InputError, match="one is a speaker of v1, and v2 speaks with one of v2"):
        parts.choose(models, "v2", speaker=first.folder.name)
    with pytest.raises(InputError, match="no speaker 'two'"):
        parts.choose(models, "v2", speaker="two")
    with pytest.raises(InputError, match="no version 'v9'"):
        parts.choose(models, "v9")
    assert not (models / "config.json").exists()


@pytest.mark.parametrize("spoilt", ['{"kind": "speaker"}', "[]", "\udcff", "[" * 100_000, ""])
def test_a_part_that_was_spoilt_is_told_and_passed_over(s1, tmp_path, spoilt):
    part = convert(s1, tmp_path / "models")
    (part.folder / "config.json").write_bytes(spoilt.encode(errors="surrogateescape"))
    with pytest.raises(CheckpointError, match="convert its source again"):
        parts.described(part.folder)
    assert parts.installed(tmp_path / "models") == [] and "not installed" in missing(tmp_path / "models")
    assert convert(s1, tmp_path / "models").folder != part.folder


def test_a_part_that_lost_its_weights_is_made_again(s1, tmp_path):
    part = convert(s1, tmp_path / "models")
    (part.folder / "speaker.safetensors").unlink()
    with pytest.raises(CheckpointError, match="lacks its speaker.safetensors"):
        parts.described(part.folder)
    assert convert(s1, tmp_path / "models").folder != part.folder


def test_roberta_speaks_along_from_when_it_comes_until_it_goes(s1, s2, hubert, tmp_path):
    models, safe = tmp_path / "models", Placement()
    for source in (s1, s2, hubert):
        convert(source, models)
    prepare(models, lambda *progress: None)
    alone, before = (models / "config.json").read_bytes(), parts.weight(models)
    with pytest.raises(InputError, match="RoBERTa, which is not installed: install"):
        engines.load(models, safe).read("今天", "zh")
    config = BertConfig(symbols=9, places=8, width=16, heads=2, hidden=32, layers=1)
    bert, weights = models / "roberta", Bert(config).state_dict()
    bert.mkdir()
    parts.write(bert, "bert", "", config, {"bert": weights}, {"pytorch_model.bin": "0" * 64})
    (bert / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n今\n天\n")
    assert "bert" in parts.together(models)[1]  # it came after the choice
    engine = engines.load(models, safe)
    assert engine.read("今天", "zh").features.shape[1] == 16
    parts.choose(models, "v2")  # what an installation of it does
    assert (models / "config.json").read_bytes() != alone and parts.weight(models) > before
    kept = engines.load(models, safe)
    shutil.rmtree(bert)
    assert "bert" not in parts.together(models)[1] and missing(models) is None  # it went after the choice
    with pytest.raises(InputError, match="RoBERTa, which is not installed: install"):
        engines.load(models, safe).read("今天", "zh")
    with pytest.raises(InputError, match="no file bert.safetensors"):
        kept.read("今天", "zh")
    parts.choose(models, "v2")
    assert (models / "config.json").read_bytes() == alone


# -------------------------------------------------------------------------------- the command line


def test_the_command_line_takes_what_a_folder_holds_and_says_what_is_missing(s1, s2, tmp_path, capsys):
    (tmp_path / "G2PW.bin").write_bytes(b"something else")
    folder = tmp_path / "pretrained" / "v2"
    folder.mkdir(parents=True)
    for source in (s1, s2):
        source.rename(folder / source.name)
    (folder / "other.pth").write_bytes(b"something else")
    code = commands.main(["gpt_sovits", str(tmp_path / "pretrained"), "--models", str(tmp_path / "models")])
    told = capsys.readouterr()
    assert code == 0
    assert "s2G2333k.pth: decoder v2, in" in told.out and "s1 my voice-e12.ckpt: speaker v2, in" in told.out
    assert "lacks HuBERT" in told.out
    assert "passed over: other.pth" in told.err


def test_what_the_command_line_converted_whole_can_be_used_at_once(s1, s2, hubert, tmp_path, capsys):
    named = [str(source) for source in (s1, s2, hubert)]
    assert commands.main(["gpt_sovits", *named, "--models", str(tmp_path / "models")]) == 0
    assert capsys.readouterr().out.endswith("GPT-SoVITS is ready.\n")
    assert missing(tmp_path / "models" / "gpt_sovits") is None


def test_the_command_line_refuses_a_named_file_in_one_line(tmp_path, capsys):
    (tmp_path / "x.pth").write_bytes(b"something else")
    code = commands.main(["gpt_sovits", str(tmp_path / "x.pth"), "--models", str(tmp_path / "models")])
    assert code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_links_that_lead_out_or_round_in_circles_are_not_followed(s1, tmp_path, capsys):
    folder, elsewhere = tmp_path / "pretrained", tmp_path / "elsewhere"
    for path in (folder / "v2", elsewhere):
        path.mkdir(parents=True)
    s1.rename(folder / "v2" / s1.name)
    (elsewhere / "private.pth").write_bytes(b"not to be read")
    (folder / "round").symlink_to(folder)
    (folder / "out").symlink_to(elsewhere)
    (folder / "gone.pth").symlink_to(tmp_path / "nowhere")
    assert commands.sources(folder) == [folder / "gone.pth", folder / "v2" / s1.name]
    assert commands.main(["gpt_sovits", str(folder), "--models", str(tmp_path / "models")]) == 0
    assert "passed over: There is no gone.pth to convert." in capsys.readouterr().err


def test_a_folder_named_like_a_file_is_looked_into(s1, tmp_path, capsys):
    folder = tmp_path / "s2G.pth"
    folder.mkdir()
    where = ["--models", str(tmp_path / "models")]
    assert commands.main(["gpt_sovits", str(folder), *where]) == 2
    assert "There is nothing to convert in" in capsys.readouterr().err
    s1.rename(folder / s1.name)
    assert commands.main(["gpt_sovits", str(folder), *where]) == 0


def test_a_wrong_flag_is_one_line(capsys):
    with pytest.raises(SystemExit) as caught:
        commands.main(["gpt_sovits"])
    assert caught.value.code == 2 and capsys.readouterr().err.count("\n") == 1
