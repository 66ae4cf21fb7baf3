"""What the pipelines say in English is Chinese on a Chinese page, and every pattern is one they still say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch

from pipelines import audio, checkpoint, coach, device, measures, text
from pipelines.checkpoint import CheckpointError
from pipelines.compare import INT8_LOCKED, Comparison, Key, Plan
from pipelines.device import Verdict
from pipelines.hub import SETBACKS, Setback
from pipelines.types import InputError, Waveform, Wish
from webui import markup, models_words, results, sentences, words
from webui.installing import Work
from webui.jobs import Card, StageLine, known, trouble

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
    return all(_unlisted(way) for way in (said.strip(), f"{said} (‹text›)"))  # a note on what is said has it


def _unlisted(said: str) -> bool:
    chinese = sentences.told("zh", said)
    return chinese == said or bool(ENGLISH.search(chinese.partition("pip install")[0]))


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
        assert english.endswith((".", ". ({text})")) == chinese.endswith(("。", "。（{text}）")), english


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_all_that_the_pipelines_say_to_people_is_there_in_chinese(path):
    name = path.relative_to(ROOT).as_posix()
    left = tuple(start for modules in LEFT.values() for start in modules.get(name, ()))
    found = dict.fromkeys(sentences_in(ast.parse(path.read_text(encoding="utf-8"))))
    if name not in ELSEWHERE:
        assert [one for one in found if unlisted(one) and not one.startswith(left)] == []
    for start in left:
        assert any(one.startswith(start) for one in found), f"{start} is not said any more"


def test_what_is_told_by_kind_or_name_is_there_in_chinese_too():
    assert models_words.CHINESE_SETBACKS.keys() == SETBACKS.keys()
    assert words.CHINESE_MEASURES.keys() == measures.MEASURES.keys()
    kinds = {
        node.args[0].value
        for node in ast.walk(ast.parse(Path(coach.__file__).read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding"
        if isinstance(node.args[0], ast.Constant)
    }
    assert len(kinds) > 8 and kinds | {"long", "overlong"} == words.CHINESE_FINDINGS.keys()


def test_what_names_are_in_a_setback_is_told_as_well():
    lacking = trouble(Setback("missing", files="a.pth, b.pth"), "zh")
    assert lacking == "还缺少这些文件：a.pth、b.pth。"
    about = {"repository": "a/b", "file": "c.pth", "files": "c.pth", "inbox": "/models, old"}
    changed = trouble(Setback("changed", **about, found="more than 12 bytes", expected="12"), "zh")
    assert "现为 超过 12 字节，应为 12" in changed
    assert "/models, old" in trouble(Setback("offline", **about), "zh")


def test_a_report_of_several_lines_is_told_line_by_line():
    with pytest.raises(CheckpointError) as caught:
        checkpoint.fill(
            lambda: torch.nn.Linear(2, 3), {"weight": torch.zeros(4, 2), "scale": torch.zeros(())}, "s2.pth"
        )
    assert trouble(caught.value, "zh") == (
        "s2.pth 不匹配：weight 是 4 × 2，应为 3 × 2；缺少 bias；scale 不属于这个模型。"
    ).replace("s2", "S2")


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        (
            "a b.pth, as decoder (s2) of GPT-SoVITS, does not fit: x is missing; and 4 more.",
            "a b.pth 作为 GPT-SoVITS 的解码器（s2）不匹配：缺少 x；另有 4 处。",
        ),
        (
            "x.ckpt was not converted: /a cannot be read or written (Permission denied). "
            "Nothing of it was kept.",
            "x.ckpt 没有转换：/a 无法读写（没有权限）。没有保留任何内容。",
        ),
        (
            "GPT-SoVITS is not installed: nearest is v3, which lacks HuBERT, speaker (s1) of v2, "
            "BigVGAN of v3. Install it on the Models screen, or with python -m pipelines.install gpt_sovits.",
            "GPT-SoVITS 尚未安装：最接近完整的是 v3，还缺 HuBERT、v2 的说话模型（s1）、v3 的 BigVGAN。"
            "请在“模型”页安装，或运行 python -m pipelines.install gpt_sovits。",
        ),
        (
            "float32 on cpu: no other precision is both safe and 1.2 times faster here. cuda:0 is not used: "
            "float32 does not run on NVIDIA X: no kernel image is available.",
            "在 cpu 上使用 float32：这里没有其他精度既安全又快到 1.2 倍。"
            "未使用 cuda:0：float32 不能在 NVIDIA X 上运行：no kernel image is available。",
        ),
        (
            "Left out: Привет (мир). (There is nothing this engine can say in the text. 9 characters in "
            "Cyrillic script cannot be read by this engine and are left out: Приветмир)",
            "已略过：Привет (мир).（文字中没有该引擎能说的内容。"
            "该引擎不能朗读西里尔文，已略过 9 个字符：Приветмир）",
        ),
        (
            "Said 3 times, and none was of a likely length: words may be missing or repeated. (So. (Ye.) N.)",
            "说了 3 次，长度都不合理：可能漏字或重复。（So. (Ye.) N.）",
        ),
        (
            "Several sentences at once. bfloat16 gave no sound here (say); made again in full precision.",
            "几句一起说。bfloat16 在这里没有出声（说），已用全精度重做。",
        ),
    ],
)
def test_what_is_put_together_of_parts_is_told_part_by_part(english, chinese):
    assert sentences.told("zh", english) == chinese and sentences.told("en", english) == english


def test_what_kept_an_installation_from_its_end_is_told_to_each_visitor_in_their_language(caplog):
    work = Work(error=CheckpointError("x.pth holds no weights."))
    assert (work.said("en"), work.said("zh")) == ("x.pth holds no weights.", "x.pth 中没有权重。")
    ours = Work(error=known(KeyError("weight")))
    code = re.search("[0-9a-f]{6}", ours.said("en"))[0]
    assert code in ours.said("zh") and HAN.search(ours.said("zh")) and len(caplog.records) == 1


def test_a_take_is_told_in_chinese_with_its_notes_and_how_it_was_made():
    card = Card(
        token="t", engine="Toy", text="Hello.", seconds=1.0, sample_rate=24000, seed=1, similarity=None,
        loudness=-20.0, rtf=1.0, notes=("No sound is known for: ☃",), sha256="0" * 64, stopped=False,
        stages=(StageLine("say", 1.0, "cpu", "float32", "Several sentences at once."),),
        precision={"requested": "auto", "used": "listen float32, say int8, render float32", "reason": ""},
        refined=True, heard="", prosody="", outline=(0.5,), top_hz=12000.0,
        voice="reference: the best 10 s of 25; transcript: not used: the clip seems to say something else; "
        "refined: 9 of 12 steps",
    )  # fmt: skip
    shown = markup.take(card, "zh")
    for said in (
        "不知道读音，已略过：☃", "几句一起说。", "听 float32、说 int8、合成 float32（自动）",
        "参考录音：取 25 秒中最好的 10 秒；片段里说的话：未使用：片段里说的似乎是别的话；"
        "细化：共 12 步，完成 9 步",
    ):  # fmt: skip
        assert said in shown
    assert card.voice in markup.take(card, "en") and "render float32 (auto)" in markup.take(card, "en")


def test_a_comparison_tells_in_chinese_what_it_left_out():
    clip = Waveform(torch.zeros(100), 24000)
    found = Comparison(
        Plan("toy", clip, ("Hello.",), ("int8",)), True, "cpu", dict.fromkeys((Key("free"), Key("control"))),
        {Key("free", "float16", "say"): "The vocoder gave numbers that are not finite."},
        {("int8", "locked"): INT8_LOCKED}, (), (), (), (), ("Words misheard are counted in English only.",),
        {},
    )  # fmt: skip
    shown = results.comparison(found, "token", "zh")
    for said in (
        "int8 相同单元：int8 只影响单元如何说出，而这里用的是 float32 的单元：声音会完全相同。",
        "float16 说：声码器给出了无效数值。", "只统计英语中听错的词。",
    ):  # fmt: skip
        assert said in shown


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
