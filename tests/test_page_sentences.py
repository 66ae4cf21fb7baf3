"""What the pipelines say in English is Chinese on a Chinese page, and every pattern is one they still say."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from pipelines import audio, device, text
from pipelines.device import Verdict
from pipelines.types import InputError, Wish
from webui import sentences
from webui.jobs import trouble

HERE = Path(__file__).parents[1] / "pipelines"
LETTERS = re.compile(r"[^\W\d_]")


def said() -> str:
    """Every string in the pipelines' source; what is filled in is left out."""
    found: list[str] = []
    for path in HERE.rglob("*.py"):
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
        for part in re.split(r"\{\+?\w+\}|(?<=it), (?=but)", english):
            assert part.strip(" .,()") in source, english


def test_every_translation_has_the_values_and_is_chinese():
    for english, chinese in sentences.CHINESE.items():
        assert set(sentences.SLOT.findall(chinese)) <= set(sentences.SLOT.findall(english)), english
        assert re.search("[\u4e00-\u9fff]", chinese) and not chinese.endswith(".")


def test_real_refusals_are_told_in_chinese(tmp_path):
    silent = tmp_path / "still.txt"
    silent.write_text("words " * 100)
    for raised in (lambda: text.split("  "), lambda: text.split("[pause 99s]"), lambda: audio.read(silent)):
        with pytest.raises(InputError) as caught:
            raised()
        assert trouble(caught.value, "en") == str(caught.value)
        assert re.search("[\u4e00-\u9fff]", trouble(caught.value, "zh")), str(caught.value)


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
        "cpu 上不能使用 int8：在 this card 上，a linear layer 给出的不是有效数值（NaN 或无穷）。"
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
