"""What the pipelines say in English is Chinese on a Chinese page, and every pattern is one they still say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from pipelines import audio, device, text
from pipelines.device import Verdict
from pipelines.types import InputError, Wish
from webui import sentences
from webui.jobs import trouble

ROOT = Path(__file__).parents[1]
PIPELINES = sorted((ROOT / "pipelines").rglob("*.py"))
HAN = re.compile("[\u4e00-\u9fff]")
ENGLISH = re.compile("[a-z]{2,} [a-z]{2,} [a-z]{2,}")  # words of a sentence that stayed
# What is called with a sentence for people, and what with one for programmers, logs and terminals alone.
TELLS = {"InputError", "CheckpointError", "Refusal", "Unsound", "_note", "note", "Measurement"}
SILENT = {
    "ValueError", "RuntimeError", "TypeError", "KeyError", "EOFError", "add_argument", "Parser",
    "ArgumentParser", "Spec", "print", "info", "warning", "error", "compile", "filterwarnings",
}  # fmt: skip
# Modules whose sentences a Chinese page does not take from `sentences`, and where it has them.
ELSEWHERE = {
    "pipelines/clone.py": "the command line's",
    "pipelines/convert.py": "the command line's",
    "pipelines/report.py": "of the exported report, which is in English",
    "pipelines/coach.py": "by its findings' kinds, `words.CHINESE_FINDINGS`",
    "pipelines/hub.py": "by its setbacks' kinds, `models_words.CHINESE_SETBACKS`",
    "pipelines/measures.py": "by the measures' names, `words.CHINESE_MEASURES`",
}
# Sentences that stay English, each with its module, by how they begin.
LEFT = {
    "the command line's": {
        "pipelines/audio.py": ("‹› cannot be written: ", "Sound is not saved as "),
        "pipelines/compare.py": (
            "Stated by running", "‹› cannot be read as text", "‹› are no seeds", "‹› is no range of",
            "‹› cannot be read as a recipe", "‹› is no recipe of", "This is not the clip that the recipe",
            "This recipe is damaged", "Other bytes than in", "The same bytes as",
        ),
        "pipelines/install.py": ("There is no folder ", "No version is complete here"),
    },
    "by a card's level and figures, `words.card`": {
        "pipelines/compare.py": (
            "Full precision, which", "Exactly like float32", "‹› More words are", "‹› It is less like",
            "Its readings ", "The same reading as", "‹› dB from float32", "Close to float32",
            "Another reading, as", "Further from float32", " Timings were noisy",
        ),
    },
    "by a result's figures, `words.outcome`": {
        "pipelines/blind.py": ("You told them", "You could not tell", "You liked", "No clear preference"),
    },
    "of torch's, for programmers": {"pipelines/safe_torchaudio.py": ("Stands in for the compiled",)},
    "spoken, while a voice is refined": {
        "pipelines/engines/small/refine.py": ("We were away", "Please call Stella", "When the sunlight"),
    },
}  # fmt: skip


def template(node: ast.AST) -> str | None:
    """A string of the source with `‹›` where something is filled in; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(p.value) if isinstance(p, ast.Constant) else "‹›" for p in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        whole = template(node.left), template(node.right)
        return None if whole == (None, None) else "".join("‹›" if part is None else part for part in whole)
    return None


def sentences_in(node: ast.AST, told: bool = False) -> Iterator[str]:
    """What is handed to people beneath a node, and all that ends like a sentence. Not what is documented."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in SILENT:
            return
        told = name in TELLS
    elif isinstance(node, ast.keyword):
        told = node.arg == "trouble"
    said = template(node)
    if said is None:
        for child in ast.iter_child_nodes(node):
            yield from sentences_in(child, told)
    elif len(said.split()) >= 3 and (told or re.search(r"[a-z0-9›)]\.$", said)):
        yield said


def unlisted(said: str) -> bool:
    """Whether a sentence is not told in Chinese, or with English words left in it."""
    for number in range(said.count("‹›")):
        said = said.replace("‹›", f"‹{number}›", 1)
    chinese = sentences.told("zh", said.strip())
    return chinese == said.strip() or bool(ENGLISH.search(chinese.partition("pip install")[0]))


@cache
def said() -> str:
    """Every string in the pipelines' source; what is filled in is left out."""
    found: list[str] = []
    for path in (*PIPELINES, ROOT / "app.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "\0" for part in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_every_pattern_is_still_said_by_the_pipelines():
    source = said()
    for english in sentences.CHINESE:
        for part in re.split(r"\{[+*#]?\w+\}|(?<=it), (?=but)", english):
            assert part.strip(" .,()") in source, english


def test_every_translation_has_the_values_and_is_chinese():
    for english, chinese in sentences.CHINESE.items():
        slots = sentences.SLOT.findall(english)
        assert set(sentences.SLOT.findall(chinese)) <= set(slots), english
        assert len(slots) == len({name for _, name in slots}), english
        assert sentences.WIDE.search(sentences.SLOT.sub("", chinese)), english
        assert english.endswith(".") == chinese.endswith("。"), english


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_all_that_the_pipelines_say_to_people_is_there_in_chinese(path):
    name = path.relative_to(ROOT).as_posix()
    left = tuple(start for modules in LEFT.values() for start in modules.get(name, ()))
    found = dict.fromkeys(sentences_in(ast.parse(path.read_text(encoding="utf-8"))))
    if name not in ELSEWHERE:
        assert [one for one in found if unlisted(one) and not one.startswith(left)] == []
    for start in left:
        assert any(one.startswith(start) for one in found), f"{start} is not said any more"


def test_real_refusals_are_told_in_chinese(tmp_path):
    silent = tmp_path / "still.txt"
    silent.write_text("words " * 100)
    for raised in (lambda: text.split("  "), lambda: text.split("[pause 99s]"), lambda: audio.read(silent)):
        with pytest.raises(InputError) as caught:
            raised()
        assert trouble(caught.value, "en") == str(caught.value)
        assert HAN.search(trouble(caught.value, "zh")), str(caught.value)


def test_a_refused_precision_is_told_with_its_reason():
    table = {
        "cpu": {
            "float32": Verdict("safe", True, 0.0, 1.0, "the reference."),
            "int8": Verdict(
                "impossible", False, None, None, "a linear layer gives values that are not numbers "
                "(NaN or infinite) on this card.",
            ),
        }
    }  # fmt: skip
    with pytest.raises(InputError) as caught:
        device.choose(Wish("cpu", "int8"), table)
    assert sentences.told("zh", str(caught.value)) == (
        "cpu 上不能使用 int8：在 this card 上，线性层给出的不是有效数值（NaN 或无穷）。"
    )


def test_several_caveats_are_told_and_what_is_not_listed_stays():
    reason = (
        "2.5 × float32's speed, 0.09% away from it, but a linear layer is 1.9% away from float32 "
        "(1% is close) and convolutions and whole sentences take 8.5 times as long."
    )
    told = sentences.told("zh", reason)
    assert "2.5 倍" in told and "1.9%" in told and sentences.told("en", reason) == reason
    assert sentences.told("zh", "Nobody ever said this.") == "Nobody ever said this."
    left = sentences.told("zh", "Left out: 字 (There is nothing to say: write at least one word.)")
    assert left == "已略过：字（没有可说的内容：请至少写一个词。）"
