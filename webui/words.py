"""What the page says, in English and in Chinese. Sentences have `{names}` filled in by `say`."""

from __future__ import annotations

import re
from collections.abc import Mapping

DEFAULT = "en"

# The wording is kept with each consent: change it and the record of what was agreed stays true.
CONSENT = {
    "en": "I have the right to use this voice: it is mine, or its owner has agreed.",
    "zh": "我有权使用这个声音：它是我自己的，或已得到本人同意。",
}

TEXTS: Mapping[str, tuple[str, str]] = {
    # key: (English, Chinese)
    "title": ("Myna · clone a voice", "Myna · 声音克隆"),
    "tagline": (
        "Any voice, a new sentence, on your own machine.",
        "任意声音，说出新的话，全在自己的电脑上。",
    ),
    "tab.clone": ("Clone", "克隆"),
    "tab.settings": ("Settings", "设置"),
    # --- clone: the voice
    "voice.heading": ("The voice", "声音"),
    "voice.hint": (
        "Drop a clip of one person speaking, or record one. 5 to 15 clear seconds are best.",
        "拖入或录制一段单人说话的录音，5 到 15 秒的清晰声音最好。",
    ),
    "voice.label": ("Clip of the voice", "声音片段"),
    "voice.example": ("Use the example voice", "使用示例声音"),
    "voice.licence": ("The example voice. {licence}", "示例声音。{licence}"),
    "voice.refine": ("Bring it closer (about a minute)", "让声音更像（约一分钟）"),
    "voice.refine.on": ("Use the closer voice", "改用更像的声音"),
    "coach.heading": ("About this clip", "关于这个片段"),
    "coach.good": ("Good", "好"),
    "coach.warn": ("Could be better", "可改进"),
    "coach.bad": ("Problem", "有问题"),
    "coach.seconds": ("{seconds:.1f} s at {rate} Hz", "{seconds:.1f} 秒，{rate} Hz"),
    "coach.undo": ("Back to the original clip", "恢复原来的片段"),
    # --- clone: the text
    "text.heading": ("The sentence", "文字"),
    "text.label": ("What to say", "要说的话"),
    "text.placeholder": ("Write something to say …", "写下要说的话……"),
    "text.hint": (
        "English text. Write [pause 0.5s] for a pause.",
        "请写英文。需要停顿时写 [pause 0.5s]。",
    ),
    "text.count": ("{count} characters", "{count} 个字符"),
    "language.label": ("Language of the text", "文字的语言"),
    "advanced": ("Fine tuning", "细调"),
    "speed.label": ("Speed", "语速"),
    "speed.info": ("1 is the voice's own pace; 2 is twice as fast.", "1 为原速，2 为两倍速。"),
    "seed.label": ("Seed", "随机种子"),
    "seed.info": ("The same seed and text give the same sound.", "相同的种子和文字得到相同的声音。"),
    "seed.dice": ("🎲 Roll another seed", "🎲 换一个种子"),
    "seed.lock": ("Keep this seed for the next take", "下一次也用这个种子"),
    "temperature.label": ("Liveliness", "活泼程度"),
    "temperature.info": (
        "How freely the voice varies; low is steady, high is surprising.",
        "声音变化的自由度：低则平稳，高则多变。",
    ),
    "top_p.label": ("Focus", "集中程度"),
    "top_p.info": (
        "How much of the unlikely is left out; 1 leaves everything in.",
        "排除不常见说法的程度，1 为不排除。",
    ),
    "repetition.label": ("Avoid repeating", "避免重复"),
    "repetition.info": ("Raise it if the voice gets stuck on a sound.", "声音卡在某个音上时请调高。"),
    "engine.honest": (
        "Rhythm and melody come from this engine's feed-forward predictor, not yet from an autoregressive "
        "model of its own: two seeds sound nearly alike.",
        "节奏和语调来自该引擎的前馈预测器，还不是自己的自回归模型：换种子听起来差别不大。",
    ),
    "speak": ("Speak", "开始说"),
    "stop": ("Stop", "停止"),
    "keys": ("Ctrl + Enter speaks · Esc stops", "Ctrl + Enter 开始 · Esc 停止"),
    # --- progress
    "progress.label": ("Progress", "进度"),
    "progress.start": ("Starting …", "正在开始……"),
    "progress.waiting": (
        "Waiting for your turn: place {done} of {total}",
        "正在排队：第 {done} 位，共 {total} 位",
    ),
    "progress.prepare": ("Unpacking the engine, this once", "首次使用，正在解开引擎"),
    "progress.load": ("Loading the engine", "正在载入引擎"),
    "progress.listen": ("Listening to the clip", "正在听片段"),
    "progress.read": ("Reading sentence {done} of {total}", "正在读第 {done} 句，共 {total} 句"),
    "progress.say": (
        "Finding the melody of sentence {done} of {total}",
        "正在安排第 {done} 句的语调，共 {total} 句",
    ),
    "progress.render": ("Speaking sentence {done} of {total}", "正在说第 {done} 句，共 {total} 句"),
    "progress.refine": (
        "Bringing the voice closer: step {done} of {total}",
        "正在让声音更像：第 {done} 步，共 {total} 步",
    ),
    "progress.measure": ("Measuring the take", "正在测量结果"),
    "progress.seconds": ("{seconds:.0f} s", "{seconds:.0f} 秒"),
    "progress.heard": ("{seconds:.1f} s of sound so far", "已有 {seconds:.1f} 秒声音"),
    "progress.stopping": ("Stopping …", "正在停止……"),
    # --- takes
    "takes.heading": ("Takes", "录音"),
    "takes.empty": (
        "Your takes appear here. Press Speak to hear the first one.",
        "结果会出现在这里。按“开始说”试听第一条。",
    ),
    "take.ready": ("The take is ready: {seconds:.1f} seconds.", "已完成：{seconds:.1f} 秒。"),
    "take.ai": ("AI-generated", "AI 生成"),
    "take.stopped": ("stopped early", "提前停止"),
    "take.refined": ("closer voice", "更像的声音"),
    "take.play": ("Play", "播放"),
    "take.pause": ("Pause", "暂停"),
    "take.position": ("Position", "播放位置"),
    "take.seconds": ("{seconds:.1f} s", "{seconds:.1f} 秒"),
    "take.similarity": ("Likeness", "相似度"),
    "take.similarity.hint": (
        "Cosine between clip and take by the engine's own speaker encoder; the same person's other clips "
        "reach about 0.9.",
        "片段与结果在本引擎说话人编码器中的余弦相似度；同一个人的不同录音约为 0.9。",
    ),
    "take.loudness": ("Loudness", "响度"),
    "take.rtf": ("Real-time factor", "实时率"),
    "take.rtf.hint": (
        "Seconds of work for a second of sound; loading and listening not counted.",
        "每秒声音所需的计算秒数，不含载入和听片段。",
    ),
    "take.seed": ("Seed", "种子"),
    "take.precision": ("Precision", "精度"),
    "take.picture": (
        "Spectrogram of the take: time from left to right, pitch from 0 to {top:.0f} kHz from bottom to top, "
        "{seconds:.1f} seconds.",
        "结果的频谱图：横轴为时间，共 {seconds:.1f} 秒；纵轴为频率，从下到上 0 到 {top:.0f} kHz。",
    ),
    "take.stages": ("How it was made", "制作过程"),
    "take.stage": ("Stage", "阶段"),
    "take.time": ("Time", "用时"),
    "take.device": ("Device", "设备"),
    "take.dtype": ("Precision", "精度"),
    "take.note": ("Note", "备注"),
    "take.notes": ("Notes", "说明"),
    "take.wav": ("Download wav", "下载 wav"),
    "take.subtitles": ("Download subtitles", "下载字幕"),
    "take.recipe": ("Download recipe", "下载配方"),
    "take.again": ("Make again exactly", "完全重做"),
    "take.same": (
        "Made again: the same bytes. sha256 {sha256}",
        "已重做：字节完全相同。sha256 {sha256}",
    ),
    "take.different": (
        "Made again: other bytes this time ({other}). Something changed since: see the recipe's machine and "
        "placement.",
        "已重做：这次字节不同（{other}）。此后有东西变了，请看配方里的 machine 和 placement。",
    ),
    "take.delete": ("Delete", "删除"),
    "take.deleted": ("The take is deleted.", "已删除。"),
    "stage.listen": ("Listen", "听"),
    "stage.read": ("Read", "读"),
    "stage.say": ("Say", "说"),
    "stage.render": ("Render", "合成"),
    "stage.refine": ("Refine", "细化"),
    # --- what can go wrong
    "error.no_clip": ("Choose or record a clip of the voice first.", "请先选择或录制一段声音。"),
    "error.no_text": ("Write something to say first.", "请先写下要说的话。"),
    "error.long_text": (
        "This text has {count} characters; at most {limit} are said at once. Say it in parts.",
        "文字有 {count} 个字符，一次最多 {limit} 个，请分几次说。",
    ),
    "error.consent": (
        "Tick the box that you have the right to use this voice; nothing is said in it before.",
        "请先勾选您有权使用这个声音；在此之前不会用它说话。",
    ),
    "error.busy": (
        "One thing at a time: stop the running one first.",
        "一次只做一件事，请先停止正在进行的。",
    ),
    "error.stopped": ("Stopped before any sound was made.", "在出声之前已停止。"),
    "error.unsound": (
        "The engine gave no sound here, even in full precision. Try another clip or another text.",
        "引擎在全精度下也没有给出声音，请换一个片段或一段文字。",
    ),
    "error.memory": (
        "There is not enough memory for this. Close other programs, or say a shorter text.",
        "内存不足。请关闭其他程序，或说短一些的文字。",
    ),
    "error.disk": (
        "The disk is full: the take could not be kept. Free some space and try again.",
        "磁盘已满，无法保存结果。请腾出空间后再试。",
    ),
    "error.ours": (
        "Something went wrong on our side, and it is written in the program's log under {code}.",
        "程序出了问题，详情已记入日志，编号 {code}。",
    ),
    "error.gone": ("This take is no longer here.", "这条结果已不在了。"),
    "error.no_mend": ("This clip cannot be mended that way.", "这个片段不能这样修整。"),
    "mic.refused": (
        "The browser did not allow the microphone. Allow it in the address bar, or drop a file instead.",
        "浏览器没有允许使用麦克风。请在地址栏中允许，或改为拖入文件。",
    ),
    "mic.none": (
        "No microphone was found. Plug one in, or drop a file instead.",
        "没有找到麦克风。请接上麦克风，或改为拖入文件。",
    ),
    "mic.insecure": (
        "Browsers record only on this machine's own address or over https. Drop a file instead.",
        "浏览器只在本机地址或 https 下才能录音，请改为拖入文件。",
    ),
    "clip.drop": ("Drop a sound file here\n- or -\nClick to choose one", "把声音文件拖到这里\n或\n点击选择"),
    # --- settings
    "settings.heading": ("Device and precision", "设备与精度"),
    "settings.hint": (
        "Automatic is right for nearly everyone. Every choice below was tried on this machine; the verdict "
        "is beside it, speed and error are against float32.",
        "“自动”适合绝大多数人。以下每个选项都在本机上试过，结论写在旁边。",
    ),
    "settings.device": ("Device", "设备"),
    "settings.precision": ("Precision", "精度"),
    "settings.auto": ("Automatic", "自动"),
    "settings.auto.is": ("Automatic — {used}", "自动 — {used}"),
    "verdict.safe": ("safe", "安全"),
    "verdict.possible": ("possible", "可用"),
    "verdict.impossible": ("impossible", "不可用"),
    "verdict.faster": ("{speed:.1f} × the speed of float32", "速度为 float32 的 {speed:.1f} 倍"),
    "verdict.mode": ("Precision", "精度"),
    "verdict.verdict": ("Verdict", "结论"),
    "verdict.speed": ("Speed", "速度"),
    "verdict.error": ("Error", "误差"),
    "verdict.reason": ("Reason", "原因"),
    "settings.use_safe": ("Use {wish}", "改用 {wish}"),
    "settings.saved": ("Kept in this browser.", "已保存在此浏览器中。"),
    "settings.probe": ("Probe again", "重新检测"),
    "settings.probing": ("Measuring every precision …", "正在测量各种精度……"),
    "settings.probed": ("Measured again.", "已重新测量。"),
    "settings.table": ("What the probe found", "检测结果"),
    "engine.heading": ("The engine", "引擎"),
    "engine.name": ("Engine", "引擎"),
    "engine.source": ("Weights", "权重"),
    "engine.rate": ("Sound", "声音"),
    "engine.languages": ("Languages", "语言"),
    "engine.state": ("State", "状态"),
    "engine.ready": ("ready", "就绪"),
    "data.heading": ("Your data", "您的数据"),
    "data.words": (
        "Takes, refined voices and consents are kept in {folder} until you delete them; deleting a take's "
        "card deletes its files.",
        "结果、调整过的声音和授权记录保存在 {folder}，直到您删除；删除卡片即删除其文件。",
    ),
    "about.heading": ("About", "关于"),
    "about.words": (
        "Everything happens on this machine: the page asks nothing of any other host, and there is no "
        "telemetry. Every file says in its metadata that it is AI-generated speech. Use a voice "
        "only with its owner's agreement.",
        "一切都在本机完成：页面不访问任何其他主机，也没有遥测。"
        "每个文件的元数据都注明为 AI 生成语音。请只在得到本人同意后使用他人的声音。",
    ),
}

# The coach speaks English; these say the same by its findings' kinds and values.
CHINESE_FINDINGS: Mapping[str, str] = {
    "no_voice": "听不出片段里有人说话：请选一段有人声的录音。",
    "short": "片段只有 {seconds:.1f} 秒；6 到 12 秒最好。",
    "long": "片段长 {seconds:.1f} 秒；6 到 12 秒就够了，最好的部分最有用。",
    "clipping": "录音太响，波形顶部被削平（占 {share:.2%}），听起来会刺耳。请降低录音音量，或修圆波峰。",
    "noise": "人声背后有噪声或回声（只高出 {snr:.0f} dB，20 dB 以上为好）。换个安静的地方、靠近话筒最好。",
    "silence": "片段中有 {share:.0%} 是静音"
    "（开头 {lead:.1f} 秒，结尾 {trail:.1f} 秒，最长停顿 {pause:.1f} 秒）。",
    "band": "录音发闷：{hertz:.0f} Hz 以上没有声音，克隆出来也会发闷。如有原始录音请用原始录音。",
    "quiet": "录音太轻（响度 {lufs:.0f} LUFS，通常约为 -20）。",
    "offset": "声卡带来固定的直流偏移。",
    "hum": "人声背后有电源哼声（{hertz:.0f} Hz 及其泛音）。",
    "speakers": "似乎不止一个人在说话，克隆出来会混在一起。请只保留其中一人。",
    "good": "很好的片段：{seconds:.1f} 秒，清晰，没有明显噪声。",
}
CHINESE_MENDS: Mapping[str, str] = {
    "long": "截取最好的部分",
    "clipping": "修圆波峰",
    "noise": "轻度降噪",
    "silence": "剪掉静音",
    "quiet": "调高音量",
    "offset": "去掉偏移",
    "hum": "滤掉哼声",
}


def say(language: str, key: str, **values: object) -> str:
    """The sentence of a key. Raises `KeyError` for a key that is not written."""
    english, chinese = TEXTS[key]
    return (chinese if language == "zh" else english).format(**values)


def language(accepted: str | None) -> str:
    """`en` or `zh`: the first of the two in an Accept-Language header, by its order of preference.

    >>> language("de, zh-CN;q=0.8, en;q=0.9")
    'en'
    """
    wishes = []
    for part in (accepted or "").split(","):
        tag, _, rest = part.strip().partition(";")
        quality = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d*)?)\s*", rest)
        wishes.append((float(quality[1]) if quality else 1.0, tag.lower().partition("-")[0]))
    known = [(quality, tag) for quality, tag in wishes if tag in ("en", "zh") and quality > 0]
    return max(known, key=lambda wish: wish[0])[1] if known else DEFAULT


def catalogue(language: str) -> dict[str, str]:
    """Every sentence as it stands, for `gr.I18n` and for the page's script."""
    return {key: pair[1 if language == "zh" else 0] for key, pair in TEXTS.items()} | {
        "consent": CONSENT[language]
    }


def finding(
    page: str, kind: str, english: str, mend: str | None, values: Mapping[str, float]
) -> tuple[str, str | None]:
    """The coach's sentence and its button's label in the page's language; English where none is written."""
    if page != "zh" or kind not in CHINESE_FINDINGS:
        return english, mend
    return CHINESE_FINDINGS[kind].format(**values), CHINESE_MENDS.get(kind, mend) if mend else None
