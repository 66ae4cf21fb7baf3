"""The cases of GPT-SoVITS for `tests.parity`: how the official files hold weights, and how a case is run."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pipelines.device import Placement
from pipelines.engines.gpt_sovits import sampling as drawing
from pipelines.engines.gpt_sovits.cfm import flow, normalised
from pipelines.engines.gpt_sovits.convert import convert
from pipelines.engines.gpt_sovits.parts import Part, described
from pipelines.engines.gpt_sovits.speaker import Speaker, Speech
from pipelines.engines.gpt_sovits.spectrogram import log_mel, magnitudes
from pipelines.engines.gpt_sovits.verifier import filter_banks
from pipelines.layers import sampling
from pipelines.types import Stage
from tests.official_gpt_sovits import save_s1, save_s2

if TYPE_CHECKING:
    from tests.parity import Fixture, Weights

Outputs = dict[str, Tensor]
RATES = (10, 8, 2, 2, 2)


def run(fixture: Fixture, weights: Weights, scratch: Path) -> Outputs:
    """What our implementation makes of a fixture's inputs, by the names of its outputs."""
    _, version, name = re.fullmatch(r"(?:(s2|t2s)_(v[^_]*)_)?(.*)", fixture.case).groups(default="")
    if name not in CASES:
        raise ValueError(f"There is no case {name!r} of GPT-SoVITS here; there are {', '.join(CASES)}.")
    return CASES[name](fixture, Loader(fixture, weights, scratch, version))


# ------------------------------------------------------------------------------ official files


class Loader:
    """The part that a fixture is about: made as the official file, converted, and loaded by stage."""

    def __init__(self, fixture: Fixture, weights: Weights, scratch: Path, version: str):
        self._fixture, self._weights, self._scratch, self.version = fixture, weights, scratch, version

    def part(self) -> Part:
        """Converted once for all fixtures that share it, the last one alone being kept."""
        fixture = self._fixture
        override = fixture.case if "override" in fixture.config else ""
        name = f"{fixture.kind}-{fixture.salt}-{self.version}{override}"
        folder = self._scratch / name
        if not folder.exists():
            for old in self._scratch.iterdir():
                shutil.rmtree(old)
            weights = self._weights(fixture.kind, fixture.salt)
            for target, source in fixture.config.get("override", {}).items():
                key, row = target.rstrip("]").split("[")
                weights[key][int(row)] = fixture.inputs[source.removeprefix("in.")]
            source = official(self._scratch / f"{name}-official", fixture.kind, weights, self.version)
            convert(source, folder)
            shutil.rmtree(self._scratch / f"{name}-official")
        (config,) = folder.glob("*/config.json")
        return described(config.parent)

    def network(self, name: str, stage: Stage) -> nn.Module:
        """One network of the part, in float32 on the CPU."""
        return self.part().load(name, Placement(), stage)


def official(folder: Path, kind: str, weights: Mapping[str, Tensor], version: str = "") -> Path:
    """Write weights as the official file of their kind holds them; gives the path to convert."""
    folder.mkdir(parents=True)
    if kind in ("chinese_hubert_base", "chinese_roberta_wwm_ext_large"):
        torch.save(dict(weights), folder / "pytorch_model.bin")
        return folder
    if kind.startswith("gpt_sovits_t2s"):
        path = folder / "s1.ckpt"
        save_s1(path, weights, heads=16)
    elif kind.startswith("gpt_sovits_s2"):
        path = folder / "s2G.pth"
        model = {"upsample_rates": list(RATES), "version": version or "v3"}
        save_s2(path, weights, {"model": model, "data": {"sampling_rate": 32000}})
    else:
        path = folder / f"{kind}.pth"
        torch.save(dict(weights), path)
    return path


# --------------------------------------------------------------------------------------- cases


def _spectrograms(fixture: Fixture, loader: Loader) -> Outputs:
    low, high = fixture.inputs["wave_24k"], fixture.inputs["wave_32k"]
    mel = log_mel(low, 24_000, 1024, 256, 100)
    return {
        "spec": magnitudes(high, 2048, 640),
        "mel_v3": mel,
        "mel_v3_normalised": normalised(mel),
        "mel_v4": log_mel(high, 32_000, 1280, 320, 100),
    }


def _sampler(fixture: Fixture, loader: Loader) -> Outputs:
    made: Outputs = {}
    for i, setting in enumerate(fixture.config["settings"]):
        draw = drawing.Draw(**setting)
        logits = fixture.inputs["logits"]
        logits = sampling.penalise(logits, fixture.inputs["previous"], draw.repetition_penalty)
        made[f"logits_after_{i}"] = logits
        made[f"probs_{i}"] = drawing.probabilities(logits, draw)
    return made


class Recorder:
    """A speaker that keeps the logits of every step."""

    def __init__(self, speaker: Speaker):
        self._speaker, self.config = speaker, speaker.config
        self.logits: list[Tensor] = []

    def begin(self, *arguments: object) -> Speech:
        speech = self._speaker.begin(*arguments)
        self.logits.append(speech.logits)
        return speech

    def step(self, speech: Speech, tokens: Tensor) -> None:
        self._speaker.step(speech, tokens)
        self.logits.append(speech.logits)


def _plain(fixture: Fixture, loader: Loader) -> Outputs:
    """Greedy, without penalty and without a stop rule."""
    speaker = loader.network("speaker", "say")
    steps = len(fixture.outputs["tokens"])
    speech = speaker.begin(*_sentence(fixture), fixture.inputs["prompts"][0], steps)
    logits, tokens = [speech.logits], []
    for _ in range(steps):
        tokens.append(speech.logits.argmax(-1))
        speaker.step(speech, tokens[-1])
        logits.append(speech.logits)
    return {
        "prefill_logits": logits[0],
        "decode_logits": torch.cat(logits[1:]),
        "tokens": torch.cat(tokens),
    }


def _rules(fixture: Fixture, loader: Loader) -> Outputs:
    """The whole loop, with its rules."""
    knobs = ("top_k", "top_p", "temperature", "repetition_penalty")
    draw = drawing.Draw(**{knob: fixture.config[knob] for knob in knobs})
    recorder = Recorder(loader.network("speaker", "say"))
    most = min(drawing.MOST, int(fixture.config["early_stop_num"]) + 1)
    prompt = fixture.inputs["prompts"][0] if "prompts" in fixture.inputs else None
    generators = [torch.Generator().manual_seed(0)]
    (said,) = drawing.say(recorder, *_sentence(fixture), prompt, generators, draw, most)
    history = said.tokens if prompt is None else torch.cat([prompt, said.tokens])
    start = 0 if prompt is None else len(prompt)
    shown = [logits[:, :-1] for logits in recorder.logits[: drawing.LEAST]]
    shown += recorder.logits[drawing.LEAST :]
    penalised = [
        sampling.penalise(logits, history[None, : start + step], draw.repetition_penalty)
        for step, logits in enumerate(shown)
    ]
    last = len(said.tokens) - (not said.ended)
    return {
        "raw_logits": torch.cat(recorder.logits),
        "penalised_first": torch.cat(penalised[: drawing.LEAST]),
        "penalised_rest": torch.cat(penalised[drawing.LEAST :]),
        "new_tokens": said.tokens,
        "y": history[None],
        "idx": torch.tensor([0 if prompt is None else last]),
    }


def _sentence(fixture: Fixture) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    return [fixture.inputs["phones"][0]], [fixture.inputs["bert"][0].T]


def _hubert(fixture: Fixture, loader: Loader) -> Outputs:
    return {"last_hidden_state": loader.network("hubert", "listen")(fixture.inputs["wave"])}


def _bert(fixture: Fixture, loader: Loader) -> Outputs:
    characters = loader.network("bert", "read")(fixture.inputs["input_ids"])[0, 1:-1]
    return {
        "characters": characters,
        "phones": characters.repeat_interleave(fixture.inputs["word2ph"], dim=0).T,
    }


def _latent(fixture: Fixture, loader: Loader) -> Outputs:
    tokens = loader.network("listen", "listen").tokens(fixture.inputs["ssl"].transpose(1, 2))
    return {"codes": tokens[:, None]}


def _style(fixture: Fixture, loader: Loader) -> Outputs:
    return {"ge": loader.network("listen", "listen").styled(fixture.inputs["spec"])}


def _encoder(fixture: Fixture, loader: Loader) -> Outputs:
    decoder = loader.network("render", "render")
    arguments = fixture.inputs["codes"][0], fixture.inputs["phones"], fixture.inputs["ge"]
    y = decoder.encoder(*arguments)
    slow = decoder.encoder(*arguments, speed=fixture.config["speed"])
    (mean, logs), (mean_speed, logs_speed) = (decoder.prior(x).chunk(2, dim=1) for x in (y, slow))
    return {"y": y, "m": mean, "logs": logs, "m_speed": mean_speed, "logs_speed": logs_speed}


def _flow(fixture: Fixture, loader: Loader) -> Outputs:
    return {"z": loader.network("render", "render").flowed(fixture.inputs["z_p"], fixture.inputs["ge"])}


def _generator(fixture: Fixture, loader: Loader) -> Outputs:
    decoder = loader.network("render", "render")
    return {"wave": decoder.generator(fixture.inputs["z"], fixture.inputs["ge"])}


def _decode(fixture: Fixture, loader: Loader) -> Outputs:
    listener, decoder = loader.network("listen", "listen"), loader.network("render", "render")
    inputs = fixture.inputs
    style = listener.styled(inputs["spec"], inputs.get("sv_emb"))
    said = inputs["codes"][0], inputs["phones"]
    noise = inputs["noise"] * float(fixture.config["noise_scale"])
    made = {"wave": decoder(*said, style, noise), "wave_no_noise": decoder(*said, style)}
    if "spec2" in inputs:
        both = torch.stack([style, listener.styled(inputs["spec2"])]).mean(0)
        made["wave_two_references"] = decoder(*said, both)
    return made


def _vocoder(fixture: Fixture, loader: Loader) -> Outputs:
    return {"wave": loader.network("vocoder", "render")(fixture.inputs["mel"])}


def _verification(fixture: Fixture, loader: Loader) -> Outputs:
    samples, verifier = fixture.inputs["wave"][0], loader.network("verifier", "listen")
    return {"embedding": verifier.embed(samples), "fbank": filter_banks(samples, verifier.config.bands)}


def _features(fixture: Fixture, loader: Loader) -> Outputs:
    """What steers the flow of v3 and v4, of the reference too."""
    inputs, matcher = fixture.inputs, loader.network("render", "render")
    style = loader.network("listen", "listen").styled(inputs["spec"])
    said = inputs["codes"][0], inputs["phones"], style
    return {
        "features": matcher.read(*said),
        "features_speed": matcher.read(*said, float(fixture.config["speed"])),
        "ref_features": matcher.read(inputs["ref_codes"][0], inputs["ref_phones"], style),
    }


def _dit(fixture: Fixture, loader: Loader) -> Outputs:
    inputs, estimator = fixture.inputs, loader.network("render", "render").estimator
    told = estimator.read(inputs["mu"]), inputs["time"], inputs["step"]
    return {"velocity": estimator(inputs["x"], inputs["prompt_x"], *told).transpose(1, 2)}


def _cfm(fixture: Fixture, loader: Loader) -> Outputs:
    inputs, estimator = fixture.inputs, loader.network("render", "render").estimator
    noise = inputs["noise"] * float(fixture.config["temperature"])
    told = inputs["mu"].transpose(1, 2), inputs["prompt"], noise
    guidance = float(fixture.config["cfg_rate"])
    return {
        f"mel_{steps}_step{'s' * (steps > 1)}": flow(estimator, *told, steps, guidance)
        for steps in fixture.config["steps"]
    }


CASES: Mapping[str, Callable[[Fixture, Loader], Outputs]] = {
    "spectrograms": _spectrograms,
    "sampler": _sampler,
    "plain": _plain,
    "plain_bert": _plain,
    "rules": _rules,
    "eos": _rules,
    "no_prompt": _rules,
    "hubert": _hubert,
    "bert_features": _bert,
    "extract_latent": _latent,
    "ref_enc": _style,
    "enc_p": _encoder,
    "flow": _flow,
    "dec": _generator,
    "decode": _decode,
    "features": _features,
    "dit": _dit,
    "cfm": _cfm,
    "v4_vocoder": _vocoder,
    "sv_embedding": _verification,
}
