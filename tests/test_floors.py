"""Who may import whom (a module imports only what is lower), and the one place that asks about hardware."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = [  # (name pattern, floor): the first that fits
    (r"pipelines\.types$", 0),
    (r"pipelines\.(safe_torchaudio|text|catalogue)$", 1),
    (r"pipelines\.(audio|checkpoint|device|english|hub)$", 2),
    (r"pipelines\.layers(\.|$)", 3),
    (r"pipelines\.engines\.\w+", 4),
    (r"pipelines\.\w+$", 5),  # registry, synthesis, coach, compare, clone, convert
    (r"webui\.(handlers|comparing|jobs|words|picture|installing|visitors|models_words|sentences)$", 6),
    (r"webui\.(?!layout)\w+$", 7),
    (r"webui\.layout$", 8),
    (r"(training|bench|tests)(\.|$)", 9),
    (r"app$", 9),
]
FLAT = {3, 4, 5, 6, 7, 9}  # floors whose modules may import one another (layers, an engine, fronts, training)
HARDWARE = [
    r"\.half\(", r"\.bfloat16\(", r"\.cuda\(", r"cuda\.is_available", "autocast", r"os\.environ",
    r"weights_only\s*=\s*False",
]  # fmt: skip


def modules() -> dict[str, Path]:
    files = [ROOT / "app.py"]
    for folder in ("pipelines", "webui", "training", "bench"):
        files += (ROOT / folder).rglob("*.py")
    names = {}
    for file in files:
        parts = file.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return names


MODULES = modules()


def imports(path: Path) -> set[str]:
    """Every module that the file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            found |= {
                f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in MODULES else node.module
                for alias in node.names
            }
    return found


def floor(name: str) -> int | None:
    return next((number for pattern, number in FLOORS if re.match(pattern, name)), None)


def wrong_imports(name: str, imported: set[str]) -> list[str]:
    """The imports of module `name` that go up or across a wall."""
    mine, wrong = floor(name), []
    for other in imported & set(MODULES):
        theirs = floor(other)
        if mine is None or theirs is None or other == name:
            continue
        across = mine == theirs and (mine not in FLAT or engine_of(name) != engine_of(other))
        if theirs > mine or across:
            wrong.append(f"{name} → {other}")
    return wrong


def engine_of(name: str) -> str | None:
    match = re.match(r"pipelines\.engines\.(\w+)", name)
    return match and match.group(1)


@pytest.mark.parametrize("name", MODULES)
def test_imports_only_go_down(name):
    assert wrong_imports(name, imports(MODULES[name])) == []


def test_the_walls_would_be_noticed(monkeypatch):
    assert wrong_imports("pipelines.audio", {"pipelines.registry"})
    assert wrong_imports("pipelines.audio", {"pipelines.device"})
    assert not wrong_imports("pipelines.synthesis", {"pipelines.registry", "pipelines.types"})
    monkeypatch.setitem(MODULES, "pipelines.engines.other.engine", ROOT)
    assert wrong_imports("pipelines.engines.small.engine", {"pipelines.engines.other.engine"})


def roots(name: str) -> set[str]:
    return {module.split(".")[0] for module in imports(MODULES[name])}


def test_the_page_knows_no_torch():
    for name in MODULES:
        if name.startswith("webui"):
            assert not roots(name) & {"torch", "torchaudio"}, name


def test_only_the_layout_and_the_screens_know_gradio():
    for name in MODULES:
        if not name.startswith("webui.") or floor(name) == 6:
            assert name == "app" or "gradio" not in roots(name), name


def test_nothing_imports_training_or_bench():
    for name in MODULES:
        if not name.startswith(("training", "bench")):
            assert not roots(name) & {"training", "bench", "tests"}, name


def test_torchaudio_enters_by_one_door():
    assert [name for name in MODULES if "torchaudio" in roots(name)] in ([], ["pipelines.safe_torchaudio"])


@pytest.mark.parametrize("name", MODULES)
def test_hardware_and_precision_are_asked_in_one_place(name):
    if name in ("pipelines.device", "pipelines.checkpoint"):
        pytest.skip("this is the place")
    patterns = [p for p in HARDWARE if not (name.startswith("training") and p == "autocast")]
    text = MODULES[name].read_text()
    assert [pattern for pattern in patterns if re.search(pattern, text)] == []


@pytest.mark.parametrize("name", MODULES)
def test_nothing_runs_a_shell_or_shares_itself(name):
    text = MODULES[name].read_text()
    assert not re.search(r"shell\s*=\s*True|share\s*=\s*True|0\.0\.0\.0\"", text)
