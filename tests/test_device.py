"""Verdicts and choices by machines told as data, and the probe, put and helpers on this one."""

import copy
import json
import subprocess
import sys
import threading
import warnings
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pipelines import device
from pipelines.device import MODES, Capabilities, Measurement, Placement, Refusal, choose, judge, probe
from pipelines.types import InputError, Wish

GIB = 2**30
CPU = Capabilities("cpu", "cpu", "A processor", 8 * GIB, bf16=False, cores=4)
FLOAT32 = Measurement(error=1e-6, worst="convolution", step=1.0, sentence=1.0)
NO_KERNEL = (
    "float32 does not run on it: CUDA error: no kernel image is available for execution on the device."
)


def ran(step: float, error: float = 0.005, sentence: float | None = None) -> Measurement:
    return Measurement(error=error, worst="convolution", step=step, sentence=sentence or step)


def nan(worst: str = "convolution") -> Measurement:
    return Measurement(finite=False, worst=worst)


def card(name: str, major: int, minor: int, index: int = 0) -> Capabilities:
    capability = (major, minor)
    return Capabilities(f"cuda:{index}", "cuda", name, 16 * GIB, capability, bf16=capability >= (8, 0))


SLOW_CPU = {"bfloat16": ran(0.1), "float16": ran(0.1), "int8": ran(0.8, error=0.005)}
QUICK_BF16 = {"bfloat16": ran(1.6), "float16": ran(2.5, sentence=0.1), "int8": ran(4.4, error=0.019)}
AMPERE = {"bfloat16": ran(1.8), "float16": ran(1.7, error=0.001)}
TURING = {"bfloat16": ran(0.6), "float16": ran(1.7, error=0.001)}
MPS = Capabilities("mps", "mps", "Apple GPU", 16 * GIB)

# machine: (devices with what they measure, verdicts by device in the order of MODES, what auto takes)
# s: safe, p: possible, i: impossible
MACHINES = {
    "CPU only": ([(CPU, SLOW_CPU)], {"cpu": "sppp"}, ("cpu", "float32")),
    "CPU whose bf16 is slow": (
        [(CPU, SLOW_CPU | {"bfloat16": ran(0.08)})],
        {"cpu": "sppp"},
        ("cpu", "float32"),
    ),
    "CPU whose bf16 is a little faster": (
        [(CPU, SLOW_CPU | {"bfloat16": ran(1.2)})],
        {"cpu": "sspp"},
        ("cpu", "float32"),
    ),
    "CPU with quick bf16": ([(CPU, QUICK_BF16)], {"cpu": "sspp"}, ("cpu", "bfloat16")),
    "CPU with quick and close int8": (
        [(CPU, SLOW_CPU | {"int8": ran(4.0, error=0.004)})],
        {"cpu": "spps"},
        ("cpu", "int8"),
    ),
    "CPU with quick float16": (
        [(CPU, SLOW_CPU | {"float16": ran(2.5)})],
        {"cpu": "spsp"},
        ("cpu", "float32"),
    ),
    "CPU that does not run half": (
        [(CPU, SLOW_CPU | {"float16": Measurement("\"slow_conv2d_cpu\" not implemented for 'Half'.")})],
        {"cpu": "spip"},
        ("cpu", "float32"),
    ),
    "T4": (
        [(CPU, SLOW_CPU), (card("Tesla T4", 7, 5), TURING)],
        {"cpu": "sppp", "cuda:0": "spsi"},
        ("cuda:0", "float16"),
    ),
    "T4 whose emulation looks quick": (
        [(CPU, SLOW_CPU), (card("Tesla T4", 7, 5), {"bfloat16": ran(3.0), "float16": ran(1.0)})],
        {"cpu": "sppp", "cuda:0": "spsi"},
        ("cuda:0", "float32"),
    ),
    "GTX 1660": (
        [(CPU, SLOW_CPU), (card("NVIDIA GeForce GTX 1660 SUPER", 7, 5), TURING | {"float16": nan()})],
        {"cpu": "sppp", "cuda:0": "spii"},
        ("cuda:0", "float32"),
    ),
    "GTX 1660 that passes the probe": (
        [(CPU, SLOW_CPU), (card("NVIDIA GeForce GTX 1660 SUPER", 7, 5), TURING)],
        {"cpu": "sppp", "cuda:0": "sppi"},
        ("cuda:0", "float32"),
    ),
    "CMP card": (
        [(CPU, SLOW_CPU), (card("NVIDIA CMP 40HX", 7, 5), TURING)],
        {"cpu": "sppp", "cuda:0": "sppi"},
        ("cuda:0", "float32"),
    ),
    "card whose kernels are missing": (
        [(CPU, SLOW_CPU), (card("An old card", 3, 5), {"float32": Measurement(NO_KERNEL, finite=False)})],
        {"cpu": "sppp", "cuda:0": "iiii"},
        ("cpu", "float32"),
    ),
    "card that counts wrong": (
        [(CPU, SLOW_CPU), (card("A dying card", 8, 6), {"float32": nan("LSTM")})],
        {"cpu": "sppp", "cuda:0": "iiii"},
        ("cpu", "float32"),
    ),
    "MPS": (
        [(CPU, SLOW_CPU), (MPS, {"bfloat16": ran(1.5), "float16": ran(1.5)})],
        {"cpu": "sppp", "mps": "sppi"},
        ("cpu", "float32"),
    ),
    "A100": (
        [(CPU, SLOW_CPU), (card("NVIDIA A100-SXM4-40GB", 8, 0), AMPERE)],
        {"cpu": "sppp", "cuda:0": "sssi"},
        ("cuda:0", "bfloat16"),
    ),
    "H100": (
        [(CPU, QUICK_BF16), (card("NVIDIA H100 80GB HBM3", 9, 0), AMPERE)],
        {"cpu": "sspp", "cuda:0": "sssi"},
        ("cuda:0", "bfloat16"),
    ),
    "two cards": (
        [(CPU, SLOW_CPU), (card("NVIDIA A100", 8, 0), AMPERE), (card("Tesla T4", 7, 5, 1), TURING)],
        {"cpu": "sppp", "cuda:0": "sssi", "cuda:1": "spsi"},
        ("cuda:0", "bfloat16"),
    ),
    "two cards, the first broken": (
        [
            (CPU, SLOW_CPU),
            (card("An old card", 3, 5), {"float32": Measurement(NO_KERNEL, finite=False)}),
            (card("Tesla T4", 7, 5, 1), TURING),
        ],
        {"cpu": "sppp", "cuda:0": "iiii", "cuda:1": "spsi"},
        ("cuda:1", "float16"),
    ),
}


def table_of(machine: str, cache=None, **options) -> device.Table:
    rows = MACHINES[machine][0]
    measured = {facts.device: {"float32": FLOAT32} | modes for facts, modes in rows}
    return probe(
        cache,
        devices=[facts for facts, _ in rows],
        measure=lambda facts, mode: measured[facts.device][mode],
        **options,
    )


@pytest.mark.parametrize("machine", MACHINES)
def test_verdicts_and_the_choice_of_auto_follow_from_what_was_measured(machine):
    _, verdicts, auto = MACHINES[machine]
    table = table_of(machine)
    short = {name: "".join(row[mode].verdict[0] for mode in MODES) for name, row in table.items()}
    assert short == verdicts
    choice = choose(Wish(), table)
    assert choice.placement == Placement(auto[0], say=auto[1])
    assert (choice.requested, choice.used) == (Wish(), Wish(*auto))


@pytest.mark.parametrize("machine", MACHINES)
def test_every_wish_is_met_as_asked_or_refused_with_one_that_is(machine):
    table = table_of(machine)
    for place in ("auto", "cpu", "cuda", "cuda:0", "cuda:1", "cuda:9", "mps", "tpu", ""):
        for precision in ("auto", *MODES, "fp8", ""):
            wish = Wish(place, precision)
            try:
                choice = choose(wish, table)
            except Refusal as refusal:
                assert refusal.safe != wish and "auto" not in (refusal.safe.device, refusal.safe.precision)
                assert choose(refusal.safe, table).used == refusal.safe
                assert str(refusal).endswith(".") and "\n" not in str(refusal)
                continue
            assert choice.requested == wish
            assert place == "auto" or choice.used.device.startswith(place)
            assert precision in ("auto", choice.used.precision)
            assert choice.placement.say == choice.used.precision
            assert table[choice.used.device][choice.used.precision].verdict != "impossible"
            assert choice.reason.endswith(".")


@pytest.mark.parametrize("machine", MACHINES)
def test_auto_lowers_only_say_and_never_to_half_on_a_cpu(machine):
    placement = choose(Wish(), table_of(machine)).placement
    assert placement.listen == placement.render == "float32"
    assert (placement.device, placement.say) != ("cpu", "float16")


def test_an_explicit_half_lowers_every_stage_and_int8_only_say():
    table = table_of("A100")
    assert choose(Wish("cuda", "float16"), table).placement == Placement("cuda:0", *["float16"] * 3)
    assert choose(Wish("cpu", "bfloat16"), table).placement == Placement("cpu", *["bfloat16"] * 3)
    assert choose(Wish("cpu", "int8"), table).placement == Placement("cpu", say="int8")


def test_a_refusal_says_why_and_what_else():
    with pytest.raises(Refusal, match="convolution gives values that are not numbers .* GTX 1660") as refused:
        choose(Wish("cuda", "float16"), table_of("GTX 1660"))
    assert refused.value.safe == Wish("cuda:0", "float32") and isinstance(refused.value, InputError)
    with pytest.raises(Refusal, match="cuda:0 cannot be used: .*no kernel image.* Here cpu can") as refused:
        choose(Wish("cuda"), table_of("card whose kernels are missing"))
    assert refused.value.safe == Wish("cpu", "float32")
    with pytest.raises(Refusal, match="no device 'cuda' on this machine; there is cpu"):
        choose(Wish("cuda", "float16"), table_of("CPU only"))
    with pytest.raises(Refusal, match="no precision 'fp8'; there are auto, float32, bfloat16, float16, int8"):
        choose(Wish("cpu", "fp8"), table_of("CPU only"))
    with pytest.raises(Refusal, match="int8 is made for the CPU"):
        choose(Wish("cuda", "int8"), table_of("A100"))


def test_auto_says_what_it_fell_back_from():
    reason = choose(Wish(), table_of("card whose kernels are missing")).reason
    assert "cuda:0 is not used: " in reason and "no kernel image" in reason
    assert "not used" not in choose(Wish(), table_of("A100")).reason


def test_a_precision_asked_for_may_choose_the_device_but_only_where_it_is_safe():
    machine = [(CPU, SLOW_CPU | {"int8": ran(4.0)}), (card("NVIDIA A100", 8, 0), AMPERE)]
    measured = {facts.device: {"float32": FLOAT32} | modes for facts, modes in machine}
    table = probe(devices=[facts for facts, _ in machine], measure=lambda f, m: measured[f.device][m])
    choice = choose(Wish(precision="int8"), table)
    assert choice.used == Wish("cpu", "int8") and "cuda:0 is not used" in choice.reason
    with pytest.raises(Refusal) as refused:
        choose(Wish(precision="float16"), table_of("GTX 1660"))
    assert refused.value.safe == Wish("cuda:0", "float32")


def test_a_reason_carries_the_figures():
    assert judge(CPU, "bfloat16", ran(1.6)).reason == "1.6 × float32's speed, 0.50% away from it."
    assert "a step takes 10.0 times as long" in judge(CPU, "float16", ran(0.1)).reason
    assert "whole sentences take 9.0 times as long" in judge(CPU, "float16", ran(2.5, sentence=1 / 9)).reason
    assert "convolution is 1.9% away from float32" in judge(CPU, "int8", ran(4.4, error=0.019)).reason
    emulated = judge(card("Tesla T4", 7, 5), "bfloat16", ran(3.0)).reason
    assert "only emulates it (compute capability 7.5, 8.0 is needed)" in emulated


@pytest.mark.parametrize(
    "name", ["Tesla T4", "Tesla V100", "NVIDIA RTX 2080 Ti", "NVIDIA RTX A4000", "Tesla P40"]
)
def test_sound_cards_are_not_taken_for_silent_ones(name):
    assert judge(card(name, 7, 5), "float16", ran(1.7)).verdict == "safe"


@pytest.mark.parametrize(
    "name", ["GeForce GTX 1650", "NVIDIA T600 Laptop GPU", "CMP 30HX", "NVIDIA GeForce MX450"]
)
def test_cards_known_to_fall_silent_are_never_safe_in_half(name):
    assert judge(card(name, 7, 5), "float16", ran(1.7)).verdict == "possible"


# What is kept


def counting(calls: list, measured: Measurement = QUICK_BF16["bfloat16"]):
    def measure(facts: Capabilities, mode: str) -> Measurement:
        calls.append(mode)
        return FLOAT32 if mode == "float32" else measured

    return measure


def test_what_was_measured_is_kept_so_that_noise_flips_nothing(tmp_path):
    cache = tmp_path / "data" / "probe.json"
    calls: list[str] = []
    first = probe(cache, devices=[CPU], measure=counting(calls, ran(1.31)))
    again = probe(cache, devices=[CPU], measure=counting(calls, ran(1.29)))
    assert again == first and calls == list(MODES)
    fresh = probe(cache, fresh=True, devices=[CPU], measure=counting(calls, ran(1.29)))
    assert fresh != first and calls == 2 * list(MODES)
    assert probe(cache, devices=[CPU], measure=counting(calls)) == fresh
    assert [file.name for file in cache.parent.iterdir()] == ["probe.json"]


def test_another_machine_or_torch_is_measured_anew(tmp_path, monkeypatch):
    cache = tmp_path / "probe.json"
    calls: list[str] = []
    probe(cache, devices=[CPU], measure=counting(calls))
    other = Capabilities("cpu", "cpu", "Another processor", cores=4)
    probe(cache, devices=[other], measure=counting(calls))
    assert len(calls) == 8
    monkeypatch.setattr(torch, "__version__", "99.0")
    probe(cache, devices=[CPU], measure=counting(calls))
    assert len(calls) == 12
    monkeypatch.undo()
    probe(cache, devices=[CPU, other], measure=counting(calls))
    assert len(calls) == 12


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"a": 1}',
        b'{"a": {"words": "", "finite": true}}',
        b'{"a": {"words": "", "finite": true, "error": 0.1, "step": 1.0, "sentence": 1.0, "more": 1}}',
    ],
)
def test_a_broken_file_is_measured_anew_and_mended(tmp_path, broken):
    cache = tmp_path / "probe.json"
    cache.write_bytes(broken)
    calls: list[str] = []
    table = probe(cache, devices=[CPU], measure=counting(calls))
    assert calls == list(MODES)
    assert probe(cache, devices=[CPU], measure=counting(calls)) == table and len(calls) == 4


def test_a_row_that_cannot_be_judged_is_measured_anew(tmp_path):
    cache = tmp_path / "probe.json"
    table = probe(cache, devices=[CPU], measure=counting([]))
    rows = json.loads(cache.read_text())
    rows[next(key for key in rows if key.endswith("int8"))]["step"] = None
    cache.write_text(json.dumps(rows))
    calls: list[str] = []
    assert probe(cache, devices=[CPU], measure=counting(calls)) == table and calls == ["int8"]


def test_what_did_not_run_is_tried_again(tmp_path):
    cache = tmp_path / "probe.json"
    broken = Measurement("it does not run.", finite=False)
    assert probe(cache, devices=[CPU], measure=counting([], broken))["cpu"]["int8"].verdict == "impossible"
    assert probe(cache, devices=[CPU], measure=counting([]))["cpu"]["int8"].verdict == "safe"


# This machine


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("probe") / "probe.json"


@pytest.fixture(scope="module")
def here(cache) -> device.Table:
    return probe(cache)


def test_the_probe_finds_what_torch_does_on_this_cpu(here):
    verdicts = here["cpu"]
    assert list(verdicts) == list(MODES)
    assert verdicts["float32"].verdict == "safe" and verdicts["float32"].error < 1e-5
    assert all(verdict.finite for verdict in verdicts.values()), verdicts
    assert 0 < verdicts["float16"].error < verdicts["bfloat16"].error < verdicts["int8"].error < 0.1


def test_the_probe_leaves_threads_random_state_and_warnings_as_they_were():
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    cpu = next(facts for facts in device.present() if facts.device == "cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        device._measure(cpu, "int8")
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), state)


def test_what_cannot_run_becomes_words(monkeypatch):
    def fail(*arguments):
        raise RuntimeError("CUDA error: no kernel image is available\nFor debugging consider passing …")

    monkeypatch.setattr(device, "_side_by_side", fail)
    measured = device._measure(CPU, "float32")
    expected = "float32 does not run on A processor: CUDA error: no kernel image is available."
    assert measured == Measurement(expected, finite=False)


def test_the_command_prints_a_table_or_only_json(here, cache):
    def run(*flags: str) -> str:
        command = [sys.executable, "-m", "pipelines.device", "--cache", str(cache), *flags]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    table = json.loads(run("--json"))
    assert table == {
        name: {mode: asdict(v) for mode, v in verdicts.items()} for name, verdicts in here.items()
    }
    assert list(table["cpu"]["int8"]) == ["verdict", "finite", "error", "speed", "reason"]
    lines = run().splitlines()
    assert lines[0] == f"cpu: {device.describe('cpu')}" and lines[-1].startswith("auto: ")
    assert [line.split()[0] for line in lines[1:5]] == list(MODES)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.exact = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
        self.exact.float32_only = True
        self.lstm = nn.LSTM(8, 8)
        self.register_buffer("window", torch.ones(3))
        self.register_buffer("positions", torch.arange(3))


@pytest.mark.parametrize("mode", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("stage", ["listen", "say", "render"])
def test_put_casts_what_floats_and_spares_what_is_marked(mode, stage):
    placement = Placement(**{stage: mode})
    network = placement.put(Network(), stage)
    dtype = placement.dtype(stage)
    assert network.linear.weight.dtype == network.lstm.weight_hh_l0.dtype == network.window.dtype == dtype
    assert {t.dtype for t in network.exact.parameters()} == {torch.float32}
    assert network.exact[1].num_batches_tracked.dtype == network.positions.dtype == torch.int64
    assert not network.training and not any(p.requires_grad for p in network.parameters())


def test_put_keeps_tied_weights_tied():
    network = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)})
    network["b"].weight = network["a"].weight
    network = Placement(say="bfloat16").put(network, "say")
    assert network["a"].weight is network["b"].weight and network["a"].weight.dtype == torch.bfloat16


LARGE = (300, 260)  # in and out; enough weights to be packed, and no multiple of a processor's lanes


@pytest.mark.skipif(not device._packs(torch.float32), reason="oneDNN's packed layers are not used here")
@pytest.mark.parametrize("shape", [(300,), (1, 300), (4, 300), (2, 37, 300), (0, 300), (2, 0, 300)])
@pytest.mark.parametrize("mode", ["float32", "bfloat16"])
def test_put_packs_the_large_layers_of_say_and_changes_nothing(mode, shape):
    placement = Placement(say=mode)
    if not device._packs(placement.dtype("say")):
        pytest.skip(f"{mode} is not packed here")
    plain = nn.Sequential(nn.Linear(*LARGE), nn.Linear(LARGE[1], 5, bias=False))
    packed = placement.put(copy.deepcopy(plain), "say")
    assert type(packed[0]) is device.Packed and type(packed[1]) is nn.Linear
    plain, x = plain.to(placement.dtype("say")), torch.randn(shape).to(placement.dtype("say"))
    torch.testing.assert_close(packed[0].weight, plain[0].weight, rtol=0, atol=0)
    near = 1e-5 if mode == "float32" else 0.02
    torch.testing.assert_close(packed(x), plain(x), rtol=near, atol=near)


@pytest.fixture
def slow_mkl(monkeypatch):
    """As on a processor whose AVX-512 MKL leaves unused."""
    if not device._packs(torch.float32):
        pytest.skip("oneDNN's layers are not used here")
    monkeypatch.setattr(device, "_mkl_is_slow", lambda: True)


def laid_out() -> dict[str, torch.Tensor]:
    """Inputs of 300 numbers a row, as they may lie in memory."""
    return {
        "no rows": torch.randn(0, 300),
        "no rows in a batch": torch.randn(2, 0, 300),
        "a vector": torch.randn(300),
        "a row": torch.randn(1, 300),
        "rows": torch.randn(37, 300),
        "a batch": torch.randn(2, 37, 300),
        "a batch of batches": torch.randn(2, 3, 5, 300),
        "transposed": torch.randn(2, 300, 37).transpose(1, 2),
        "every other number": torch.randn(2, 37, 600)[..., ::2],
        "one row repeated": torch.randn(1, 1, 300).expand(2, 37, 300),
        "not from the beginning": torch.randn(2 * 37 * 300 + 1)[1:].view(2, 37, 300),
    }


@pytest.mark.parametrize("layout", laid_out())
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("stage", ["listen", "render"])
def test_direct_layers_of_other_stages_equal_plain_ones(slow_mkl, stage, bias, layout):
    plain, x = nn.Linear(*LARGE, bias=bias), laid_out()[layout]
    direct = Placement().put(copy.deepcopy(plain), stage)
    assert type(direct) is device.Direct
    truth, made = plain(x), direct(x)
    assert made.shape == truth.shape and made.is_contiguous() and torch.equal(made, direct(x))
    torch.testing.assert_close(made, truth, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 7, 63])
def test_rows_given_alone_equal_them_among_others(slow_mkl, rows):
    direct, x = Placement().put(nn.Linear(*LARGE), "listen"), torch.randn(64, LARGE[0])
    torch.testing.assert_close(direct(x[:rows]), direct(x)[:rows], rtol=1e-5, atol=1e-5)


def test_direct_layers_read_their_weights_where_a_file_is_mapped(slow_mkl, tmp_path):
    plain = nn.Sequential(nn.Linear(*LARGE), nn.Linear(LARGE[1], 5))
    save_file(plain.state_dict(), tmp_path / "weights.safetensors")
    mapped = load_file(tmp_path / "weights.safetensors")
    network = copy.deepcopy(plain)
    network.load_state_dict(mapped, assign=True)
    network, x = Placement().put(network, "listen"), torch.randn(7, LARGE[0])
    assert [type(layer) for layer in network] == [device.Direct, nn.Linear]
    torch.testing.assert_close(network(x), plain(x), rtol=1e-5, atol=1e-5)
    for name, tensor in network.state_dict().items():
        assert tensor.data_ptr() == mapped[name].data_ptr() and torch.equal(tensor, plain.state_dict()[name])


def test_weights_that_lie_otherwise_are_read_right_and_a_bias_with_gaps_is_left_alone(slow_mkl):
    plain = nn.ModuleList(nn.Linear(*LARGE) for _ in range(3))
    plain[0].weight = nn.Parameter(torch.randn(LARGE).t())
    plain[1].weight = nn.Parameter(torch.randn(LARGE[1], 2 * LARGE[0])[:, ::2])
    plain[2].bias = nn.Parameter(torch.randn(2 * LARGE[1])[::2])
    network, x = Placement().put(plain, "listen"), torch.randn(7, LARGE[0])
    assert [type(layer) for layer in network] == [device.Direct, device.Direct, nn.Linear]
    for layer in network:
        truth = nn.functional.linear(x, layer.weight, layer.bias)
        torch.testing.assert_close(layer(x), truth, rtol=1e-5, atol=1e-4)
    truth = network[2](x)
    said = Placement().put(network[2], "say")  # which copies the bias without its gaps
    assert type(said) is device.Direct and said.bias.is_contiguous()
    torch.testing.assert_close(said(x), truth, rtol=1e-5, atol=1e-4)


def test_direct_layers_keep_tied_weights_tied(slow_mkl):
    network = nn.ModuleDict({"a": nn.Linear(*LARGE), "b": nn.Linear(*LARGE)})
    network["b"].weight = network["a"].weight
    network = Placement().put(network, "render")
    assert network["a"].weight is network["b"].weight and type(network["b"]) is device.Direct
    assert not network["a"].training


@pytest.mark.parametrize("mode", ["bfloat16", "float16"])
def test_only_layers_in_float32_are_direct(slow_mkl, mode):
    network = nn.ModuleDict({"exact": nn.Linear(*LARGE), "rest": nn.Linear(*LARGE)})
    network["exact"].float32_only = True
    network = Placement(render=mode).put(network, "render")
    assert type(network["exact"]) is device.Direct and type(network["rest"]) is nn.Linear


def test_gradients_go_through_a_direct_layer(slow_mkl):
    plain, x = nn.Linear(*LARGE), torch.randn(3, LARGE[0], requires_grad=True)
    direct = Placement().put(copy.deepcopy(plain), "render")
    (truth,) = torch.autograd.grad(plain(x).square().sum(), x)
    (made,) = torch.autograd.grad(direct(x).square().sum(), x)
    torch.testing.assert_close(made, truth)
    direct.requires_grad_(True)
    truths = torch.autograd.grad(plain(x.detach()).square().sum(), list(plain.parameters()))
    made = torch.autograd.grad(direct(x.detach()).square().sum(), list(direct.parameters()))
    torch.testing.assert_close(made, truths)


@pytest.mark.parametrize(
    ("maker", "capability", "slow"),
    [
        ("AuthenticAMD", "AVX512", True),
        ("AuthenticAMD", "AVX2", False),
        ("GenuineIntel", "AVX512", False),
    ],
)
@pytest.mark.parametrize("told", ["by Linux", "by Windows"])
def test_layers_are_direct_where_mkl_leaves_avx512_unused(monkeypatch, told, maker, capability, slow):
    facts = {"vendor_id": maker} if told == "by Linux" else {}
    monkeypatch.setattr(device, "_cpu_facts", lambda: facts)
    monkeypatch.setattr(device.platform, "processor", lambda: f"AMD64 Family 26 Model 2 Stepping 1, {maker}")
    monkeypatch.setattr(device, "_packs", lambda dtype: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert (type(Placement().put(nn.Linear(*LARGE), "listen")) is device.Direct) == slow


def test_what_is_put_for_say_holds_on_to_nothing_of_its_file():
    if not device._packs(torch.float32):
        pytest.skip("nothing is packed here")
    plain = nn.Sequential(nn.Linear(*LARGE), nn.LayerNorm(LARGE[1]))
    old = [tensor.detach() for tensor in plain.parameters()]  # held, so that nothing new takes their place
    places = {tensor.data_ptr() for tensor in Placement().put(plain, "say").parameters()}
    assert not places & {tensor.data_ptr() for tensor in old}


@pytest.mark.skipif(not device._packs(torch.float32), reason="oneDNN's packed layers are not used here")
def test_a_gradient_goes_through_a_packed_layer():
    plain = nn.Linear(*LARGE)
    x = torch.randn(3, LARGE[0], requires_grad=True)
    packed = Placement().put(copy.deepcopy(plain), "say")
    (truth,) = torch.autograd.grad(plain(x).square().sum(), x)
    (made,) = torch.autograd.grad(packed(x).square().sum(), x)
    torch.testing.assert_close(made, truth)


def test_where_there_is_no_such_operation_layers_stay_as_they_are(monkeypatch):
    monkeypatch.setattr(device.platform, "machine", lambda: "arm64")
    for stage in ("listen", "say", "render"):
        assert type(Placement().put(nn.Linear(*LARGE), stage)) is nn.Linear


def test_put_quantises_the_linear_weights_of_say_alone():
    placement = Placement(say="int8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = placement.put(Network(), "say")
    assert (
        isinstance(network.linear, torch.ao.nn.quantized.dynamic.Linear)
        and type(network.exact[0]) is nn.Linear
    )
    assert type(network.lstm) is nn.LSTM and placement.dtype("say") == torch.float32
    assert type(placement.put(Network(), "render").linear) is nn.Linear
    plain = nn.Linear(64, 64)
    rows = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    made = placement.put(copy.deepcopy(plain), "say")(rows)
    assert 0 < (made - plain(rows)).abs().max() < 0.05


def test_int8_elsewhere_and_unknown_precisions_are_errors_of_the_programmer():
    for wrong in (
        {"render": "int8"},
        {"listen": "int8"},
        {"device": "cuda:0", "say": "int8"},
        {"say": "auto"},
        {"render": "fp16"},
    ):
        with pytest.raises(ValueError):
            Placement(**wrong)


@pytest.mark.parametrize("mode", ["float32", "bfloat16", "float16"])
def test_a_convolution_in_half_runs_on_this_cpu(mode):
    placement = Placement(render=mode)
    network = placement.put(nn.Conv1d(8, 8, 7, padding=3), "render")
    made = network(torch.randn(1, 8, 50).to(placement.dtype("render")))
    assert made.dtype == placement.dtype("render") and made.isfinite().all()


def test_half_on_this_cpu_is_met_when_asked_for_and_never_taken_by_auto(here):
    assert choose(Wish("cpu", "float16"), here).placement == Placement("cpu", *["float16"] * 3)
    assert choose(Wish("cpu"), here).placement.say != "float16"


def test_a_placement_raised_or_otherwise_is_another_key():
    placement = Placement("cpu", "bfloat16", "int8", "float16")
    raised = placement.raised("say")
    assert raised == Placement("cpu", "bfloat16", "float32", "float16")
    assert placement.raised("read") == placement and placement.dtype("read") == torch.float32
    keys = {placement.key, *(placement.raised(stage).key for stage in ("listen", "say", "render"))}
    assert len(keys) == 4


def test_threads_are_settled_for_every_thread_and_never_beyond_the_cores():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(64)
        count = device.settle_threads()
        seen: list[int] = []
        other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        other.start()
        other.join()
        assert seen == [count] == [torch.get_num_threads()] and 1 <= count <= device.cores()
        torch.set_num_threads(1)
        assert device.settle_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_memory_that_ran_out_is_told_from_other_failures():
    out = device.out_of_memory
    assert out(MemoryError()) and out(torch.OutOfMemoryError("CUDA out of memory."))
    assert out(RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"))
    with pytest.raises(RuntimeError) as real:
        torch.empty(2**60, dtype=torch.uint8)
    assert out(real.value)
    assert not out(RuntimeError("shape '[2]' is invalid")) and not out(ValueError("out of memory"))


def test_the_cpu_can_be_told_in_words_and_its_memory_in_bytes():
    assert "core" in device.describe("cpu")
    memory = device.memory("cpu")
    assert memory is None or 0 < memory.free <= memory.total
    device.free("cpu")
    with pytest.raises(ValueError, match="no device 'cuda:99'"):
        device.describe("cuda:99")
