"""The pipelines' own English sentences in Chinese: refusals, notes, the probe's reasons.

Each is a pattern as it is raised. `{name}` stands for a value that stays as it is, `{+name}` for a part that
is itself a sentence of the list. What is not listed stays English. A test looks every pattern up in the
pipelines' source.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, partial

CHINESE: Mapping[str, str] = {
    # consent, text, request
    "Nothing is said in a voice before you state that you have the right to use it.": (
        "在您声明有权使用这个声音之前，不会用它说话。"
    ),
    "There is nothing to say: write at least one word.": "没有可说的内容：请至少写一个词。",
    "The pause {mark} cannot be understood: write for example [pause 0.5s] or [pause 500ms].": (
        "看不懂停顿 {mark}：请写成 [pause 0.5s] 或 [pause 500ms]。"
    ),
    "The pause {mark} is out of range: a pause is longer than 0 s and at most {most} s.": (
        "停顿 {mark} 超出范围：停顿须大于 0 秒，最多 {most} 秒。"
    ),
    "{title} does not speak {language}; it speaks {others}.": "{title} 不会说 {language}，会说 {others}。",
    "This engine speaks English (en), not {language}: choose English.": (
        "该引擎只说英语（en），不说 {language}：请选择英语。"
    ),
    "{title} cannot refine a voice.": "{title} 不能让声音更像。",
    "This sentence has more than {most} sounds, which is more than can be said at once: "
    "cut it in two with a full stop.": "这句话超过 {most} 个音，一次说不完：请用句号分成两句。",
    "This sentence would last longer than the {most} s that a sentence may: "
    "cut it in two, or allow longer ones.": "这句话会超过每句 {most} 秒的上限：请分成两句。",
    # clips
    "{name} is silent from beginning to end; choose a clip with a voice in it.": (
        "{name} 从头到尾没有声音，请选一段有人声的录音。"
    ),
    "{name} is a folder; choose a sound file in it.": "{name} 是文件夹，请选择其中的声音文件。",
    "There is no file {name}; choose the clip again.": "找不到文件 {name}，请重新选择片段。",
    "{name} is empty (0 bytes); choose another file.": "{name} 是空文件（0 字节），请另选一个。",
    "{name} is a text file, not sound; choose a recording ({kinds}).": (
        "{name} 是文本文件，不是声音，请选择录音（{kinds}）。"
    ),
    "{name} is a video; save its sound as wav, flac or mp3 and choose that file.": (
        "{name} 是视频，请把声音另存为 wav、flac 或 mp3 后再选。"
    ),
    "{name} cannot be read as sound: it is damaged, or of a kind other than {kinds}.": (
        "{name} 无法作为声音读取：文件已损坏，或不属于 {kinds}。"
    ),
    "{name} lasts {seconds} s; at least {least} s of sound is needed.": (
        "{name} 只有 {seconds} 秒，至少需要 {least} 秒声音。"
    ),
    "{name} lasts more than {most} minutes, the most that can be read; cut out the best half minute.": (
        "{name} 超过可读取的 {most} 分钟，请截取最好的半分钟。"
    ),
    "{name} is of a kind (m4a, webm) that needs ffmpeg here; save it as wav, flac or mp3.": (
        "{name}（m4a、webm 等）在本机需要 ffmpeg，请另存为 wav、flac 或 mp3。"
    ),
    # what GPT-SoVITS needs
    "The clip lasts {seconds} s; a voice needs {least} s, best are 3 to 10.": (
        "片段只有 {seconds} 秒；声音至少需要 {least} 秒，3 到 10 秒最好。"
    ),
    "GPT-SoVITS {version} goes on from what the clip says: write its words beside it, or "
    "choose another version.": ("GPT-SoVITS {version} 从片段里说的话接着说：请写下这些话，或改用其他版本。"),
    "The clip lasts {seconds} s, and GPT-SoVITS {version} goes on from all its words: "
    "cut clip and words to {most} s or less.": (
        "片段长 {seconds} 秒，而 GPT-SoVITS {version} 要从其中所有的话接着说："
        "请把片段和文字剪到 {most} 秒以内。"
    ),
    "Chinese is read with RoBERTa, which is not installed: install GPT-SoVITS's Chinese text "
    "on the Models screen, or with python -m pipelines.install gpt_sovits --version chinese.": (
        "读中文需要 RoBERTa，尚未安装：请在“模型”页安装 GPT-SoVITS 的中文文本部分。"
    ),
    # notes
    "A lower precision gave no sound here before, so full precision is used.": (
        "较低的精度此前在这里没有出声，因此使用全精度。"
    ),
    "{mode} gave no sound here ({stage}); made again in full precision.": (
        "{mode} 在这里没有出声（{stage}），已用全精度重做。"
    ),
    "Left out: {text} ({+error})": "已略过：{text}（{+error}）",
    "The memory of {place} is not enough for this. Close other programs, or say a shorter text.": (
        "{place} 的内存不足。请关闭其他程序，或说短一些的文字。"
    ),
    # devices and precisions
    "{mode} cannot be used on {device}: {+reason}": "{device} 上不能使用 {mode}：{+reason}",
    "{mode} on {device}, as asked: {+reason}": "按您的要求在 {device} 上使用 {mode}：{+reason}",
    "say in {mode} on {device}: {+reason} The other stages stay in float32.": (
        "在 {device} 上用 {mode} 说：{+reason}其他阶段保持 float32。"
    ),
    "float32 on {device}: no other precision is both safe and {worth} times faster here.": (
        "在 {device} 上使用 float32：这里没有其他精度既安全又快到 {worth} 倍。"
    ),
    "{device} is not used: {+reason}": "未使用 {device}：{+reason}",
    "{worst} gives values that are not numbers (NaN or infinite) on {name}.": (
        "在 {name} 上，{worst} 给出的不是有效数值（NaN 或无穷）。"
    ),
    "the reference.": "参照。",
    "{speed} × float32's speed, {error} away from it.": "速度为 float32 的 {speed} 倍，相差 {error}。",
    "{speed} × float32's speed, {error} away from it, but {+against}.": (
        "速度为 float32 的 {speed} 倍，相差 {error}，但{+against}。"
    ),
    "{worst} is {error} away from float32 ({close} is close)": (
        "{worst} 与 float32 相差 {error}（{close} 以内为接近）"
    ),
    "a step takes {times} times as long as in float32": "每一步耗时为 float32 的 {times} 倍",
    "convolutions and whole sentences take {times} times as long": "卷积和整句耗时为 {times} 倍",
    "cards of this family are known to fall silent in it": "已知这一系列显卡用它会没有声音",
    "on Apple's GPU only float32 is trusted": "在 Apple 的 GPU 上只信任 float32",
    "int8 is made for the CPU here; a graphics card is quicker in 16 bits.": (
        "int8 在这里是为 CPU 准备的，显卡用 16 位更快。"
    ),
}
SLOT = re.compile(r"\{(\+?)(\w+)\}")
JOINT = " and "  # between several caveats


def told(page: str, english: str) -> str:
    """A sentence of the pipelines in the page's language; as it is where it is not listed.

    >>> told("zh", "There is nothing to say: write at least one word.")
    '没有可说的内容：请至少写一个词。'
    """
    return (_chinese(english) or english) if page == "zh" else english


def _chinese(english: str) -> str | None:
    for pattern, chinese in _patterns():
        found = pattern.fullmatch(english)
        if found:
            return SLOT.sub(partial(_filled, found.groupdict()), chinese)
    parts = [_chinese(part) for part in english.split(JOINT)] if JOINT in english else []
    return "，且".join(filter(None, parts)) if parts and all(parts) else None


def _filled(values: Mapping[str, str], slot: re.Match[str]) -> str:
    value = values[slot[2]]
    return (_chinese(value) or value) if slot[1] else value


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    """The list as expressions: what holds another sentence first, then the longer, since they say more."""

    def rank(english: str) -> tuple[bool, bool, int]:
        return ": {+" not in english, "{+" not in english, -len(english)

    return tuple((re.compile(_expression(english), re.DOTALL), CHINESE[english])
                 for english in sorted(CHINESE, key=rank))  # fmt: skip


def _expression(english: str) -> str:
    parts, at = [], 0
    for slot in SLOT.finditer(english):
        parts += [re.escape(english[at : slot.start()]), f"(?P<{slot[2]}>.+?)"]
        at = slot.end()
    return "".join([*parts, re.escape(english[at:])])
