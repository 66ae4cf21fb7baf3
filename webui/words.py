"""What the page says, in English and in Chinese. Sentences have `{names}` filled in by `say`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pipelines.coach import Finding
from pipelines.types import Spec
from webui import models_words
from webui.sentences import told

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
    "tab.compare": ("Compare", "比较"),
    "tab.settings": ("Settings", "设置"),
    # --- clone: the voice
    "voice.heading": ("The voice", "声音"),
    "voice.hint": (
        "One person speaking, {low:g} to {high:g} clear seconds.",
        "一个人说话，{low:g} 到 {high:g} 秒的清晰声音。",
    ),
    "voice.label": ("Clip of the voice", "声音片段"),
    "voice.example": ("Use the example voice", "使用示例声音"),
    "voice.licence": ("The example voice. {licence}", "示例声音。{licence}"),
    "voice.refine": ("Bring it closer (about 20 seconds)", "让声音更像（约二十秒）"),
    "voice.refine.on": ("Use the closer voice", "改用更像的声音"),
    "transcript.label": ("What the clip says", "片段里说的话"),
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
    "text.hint.any": (
        "Write [pause 0.5s] for a pause.",
        "需要停顿时写 [pause 0.5s]。",
    ),
    "text.count": ("{count} characters", "{count} 个字符"),
    "language.label": ("Language of the text", "文字的语言"),
    "language.auto": ("Find out by itself", "自动识别"),
    "language.en": ("English", "英语"),
    "language.zh": ("Chinese (Mandarin)", "中文（普通话）"),
    "language.yue": ("Cantonese", "粤语"),
    "language.ja": ("Japanese", "日语"),
    "language.ko": ("Korean", "韩语"),
    "advanced": ("Fine tuning", "细调"),
    "speed.label": ("Speed", "语速"),
    "speed.info": ("1 is the voice's own pace; 2 is twice as fast.", "1 为原速，2 为两倍速。"),
    "seed.label": ("Seed", "随机种子"),
    "seed.info": ("The same seed and text give the same sound.", "相同的种子和文字得到相同的声音。"),
    "seed.dice": ("🎲 Roll another seed", "🎲 换一个种子"),
    "seed.lock": ("Keep this seed for the next take", "下一次也用这个种子"),
    "prosody.label": ("Melody", "语调"),
    "prosody.info": (
        "Only what is drawn by chance has liveliness, focus and repetition to set.",
        "只有随机决定的语调才能调节活泼程度、集中程度和重复。",
    ),
    "prosody.steady": ("Steady: the same melody every time", "平稳：每次语调相同"),
    "prosody.lively": (
        "Lively: drawn by chance, different with every seed",
        "活泼：随机决定，每个种子都不同",
    ),
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
    "repetition_penalty.label": ("Avoid repeating", "避免重复"),
    "repetition_penalty.info": ("Raise it if the voice gets stuck on a sound.", "声音卡在某个音上时请调高。"),
    "top_k.label": ("Choices", "选择范围"),
    "top_k.info": (
        "Only this many of the likeliest are drawn from; 0 draws from all.",
        "只从最可能的若干个中抽取，0 为全部。",
    ),
    "candidates.label": ("Tries", "尝试次数"),
    "candidates.info": (
        "Each sentence is said this often and the best is kept; it takes that much longer.",
        "每句说这么多次，保留最好的一次；用时也相应增加。",
    ),
    "steps.label": ("Steps of rendering", "合成步数"),
    "steps.info": ("More take longer and come nearer to the voice.", "步数越多越慢，也越接近原声。"),
    "steps.usual": ("As usual", "常用值"),
    "usual.is": ("Usual: {value:g}.", "常用值：{value:g}。"),
    "usual.back": ("Back to the usual values", "恢复常用值"),
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
    "take.engine": ("Engine", "引擎"),
    "take.ready": ("The take is ready: {seconds:.1f} seconds.", "已完成：{seconds:.1f} 秒。"),
    "take.ai": ("AI-generated", "AI 生成"),
    "take.stopped": ("stopped early", "提前停止"),
    "take.refined": ("closer voice", "更像的声音"),
    "take.play": ("Play", "播放"),
    "take.pause": ("Pause", "暂停"),
    "take.position": ("Position", "播放位置"),
    "take.seconds": ("{seconds:.1f} s", "{seconds:.1f} 秒"),
    "take.similarity": ("Likeness", "相似度"),
    "take.explained": ("{name}: {hint}", "{name}：{hint}"),
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
    "take.heard": ("The clip was heard as: {words}", "片段听到的内容：{words}"),
    "fact.reference": ("reference: {told}", "参考录音：{told}"),
    "fact.blend": ("blend: {told}", "混合：{told}"),
    "fact.transcript": ("transcript: {told}", "片段里说的话：{told}"),
    "fact.refined": ("refined: {told}", "细化：{told}"),
    "take.voice": ("How the voice was made: {facts}", "声音的制作：{facts}"),
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
        "Something went wrong on our side. Nothing you made is lost; what happened is written in the "
        "terminal that Myna runs in, under {code}.",
        "程序出了问题。您的结果都没有丢失；详情写在运行 Myna 的终端里，编号 {code}。",
    ),
    "error.title": ("Sorry", "抱歉"),
    "error.sent": (
        "The page sent something else than it should; load it again.",
        "页面发来的内容不对，请重新载入页面。",
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
    # --- compare: what to compare
    "compare.heading": ("What to compare", "比较什么"),
    "compare.hint": (
        "The same sentences in the same voice, once in full precision (float32) and once in each lower one: "
        "hear whether you hear it.",
        "同样的句子、同样的声音，一次用完整精度（float32），再用每种较低的精度各说一次：听听您能否听出差别。",
    ),
    "compare.voice": ("The voice", "声音"),
    "compare.voice.clip": (
        "The clip on the Clone screen: {seconds:.1f} s.",
        "“克隆”页上的片段：{seconds:.1f} 秒。",
    ),
    "compare.voice.example": (
        "The example voice from the Clone screen: {seconds:.1f} s.",
        "“克隆”页上的示例声音：{seconds:.1f} 秒。",
    ),
    "compare.voice.none": (
        "No clip yet: choose or record one on the Clone screen.",
        "还没有片段：请先在“克隆”页选择或录制一段。",
    ),
    "compare.voice.other": ("Choose another clip", "换一个片段"),
    "compare.modes": ("Precisions to compare with float32", "与 float32 比较的精度"),
    "compare.modes.not": ("Not possible here", "本机不可用"),
    "compare.engine": (
        "{title} speaks, as chosen on the Clone screen.",
        "由 {title} 说话，在“克隆”页上选择。",
    ),
    "compare.texts": ("Sentences", "句子"),
    "compare.texts.info": (
        "One a line, each a trial of its own. Ten seconds or less are best for listening.",
        "每行一句，各自比较。每句十秒以内最适合试听。",
    ),
    "compare.seeds": ("Seeds", "随机种子数"),
    "compare.seeds.info": (
        "How often each sentence is said with other chance. More give surer figures and take longer.",
        "每句话用不同的随机数说几遍。越多数据越可靠，用时也越长。",
    ),
    "compare.alone": (
        "Lower each stage alone as well, to hear where it matters",
        "也单独降低每个阶段的精度，听出差别在哪里",
    ),
    "compare.recognise": (
        "Count the words that a speech recogniser mishears (slower)",
        "统计语音识别听错的词（较慢）",
    ),
    "compare.go": ("Compare", "开始比较"),
    "compare.results": ("Results", "结果"),
    "compare.empty": (
        "Three cards will stand here: how each precision sounds and what it costs. "
        "Then a blind test tells whether you can hear it.",
        "结果会以卡片显示：每种精度听起来如何、代价多大。随后可用盲听测试您能否听出来。",
    ),
    "compare.steady": (
        "This way of speaking draws nothing by chance: with another seed it says the same units. "
        "Measures of drawn sequences are left out, and the control is the voice moved by a hundredth and "
        "other breath noise.",
        "这种说法不含随机抽样：换种子得到的单元相同。因此不列出抽样序列的指标，对照组改为把声音移动百分之一并换气声噪声。",
    ),
    "compare.error.long": (
        "At most {most} sentences of {limit} characters are compared at once; leave some out.",
        "一次最多比较 {most} 句，每句最多 {limit} 个字符，请减少一些。",
    ),
    "compare.error.modes": (
        "Choose at least one precision to compare with float32.",
        "请至少选择一种与 float32 比较的精度。",
    ),
    "compare.error.gone": (
        "This comparison is no longer here: a server keeps the latest few. Compare again.",
        "这次比较已不在了：服务器只保留最近几次。请重新比较。",
    ),
    "compare.error.take": (
        "There is no sound for this choice; choose another.",
        "这个选择没有声音，请换一个。",
    ),
    "compare.error.sound": (
        "The sound could not be fetched. Load the page again.",
        "无法取得声音，请重新载入页面。",
    ),
    "compare.error.alike": ("Choose two different takes.", "请选择两条不同的录音。"),
    "compare.error.trials": ("Choose how many trials: a whole number.", "请选择次数（整数）。"),
    "progress.compare": ("Take {done} of {total}", "第 {done} 条，共 {total} 条"),
    # --- compare: what was found
    "compare.ready": ("The comparison is ready.", "比较完成。"),
    "compare.stopped": (
        "Stopped early: these are the results so far.",
        "已提前停止：以下是到目前为止的结果。",
    ),
    "compare.sounds": ("Sounds like", "听起来"),
    "compare.costs": ("Costs", "代价"),
    "compare.level.reference": ("the reference", "参照"),
    "compare.level.same": ("the same", "相同"),
    "compare.level.near": ("very near", "非常接近"),
    "compare.level.other": ("another reading", "另一种读法"),
    "compare.level.worse": ("worse", "变差"),
    "compare.level.no sound": ("no sound", "没有声音"),
    "compare.level.impossible": ("not possible here", "本机不可用"),
    "compare.blind": ("Can you hear it? Take the blind test", "您听得出来吗？开始盲听测试"),
    "compare.zip": ("Download everything (zip)", "全部下载（zip）"),
    "compare.listen": ("Listen side by side", "并排试听"),
    "compare.figures": ("All figures", "所有数据"),
    "compare.more": ("What was made, and notes", "做了什么，以及说明"),
    "compare.text": ("Sentence", "句子"),
    "compare.seed": ("Seed", "种子"),
    "compare.first": ("A", "A"),
    "compare.second": ("B", "B"),
    "compare.why": ("{what}: {why}", "{what}：{why}"),
    "compare.absent.forced": ("forced", "预期"),
    "compare.absent.locked": ("locked", "相同单元"),
    "compare.absent.noise": ("noise", "对照"),
    "compare.group.free": ("Said by each itself", "各自重新说"),
    "compare.group.locked": ("float32's melody, only rendered anew", "float32 的语调，只重新合成"),
    "compare.group.alone": ("One stage lowered alone", "只降低一个阶段"),
    "compare.group.control": ("Control: float32 once more", "对照：再次用 float32"),
    "compare.kind.reference": ("float32", "float32"),
    "compare.kind.free": ("{mode}, its own melody", "{mode}，自己的语调"),
    "compare.kind.locked": ("{mode}, float32's melody", "{mode}，float32 的语调"),
    "compare.kind.alone": ("{mode}, only {stage}", "{mode}，仅“{stage}”"),
    "compare.kind.control": ("float32, another seed", "float32，另一个种子"),
    "compare.kind.nudged": ("float32, voice moved a little", "float32，声音略微移动"),
    "compare.kind.noise": ("float32, other breath noise", "float32，另一种气声噪声"),
    "compare.player": (
        "Two takes side by side. Space plays and pauses, A and B choose, S switches, D is the difference.",
        "两条录音并排试听。空格播放或暂停，A、B 选择，S 切换，D 为差异。",
    ),
    "compare.keys": (
        "Space plays · S switches at the same place · A, B, D choose",
        "空格播放 · S 在同一位置切换 · A、B、D 选择",
    ),
    "compare.loading": ("Getting both takes ready …", "正在准备两条录音……"),
    "compare.stretched": ("stretched onto A's time", "已按 A 的时间对齐"),
    "compare.switch": ("Switch", "切换"),
    "compare.difference": ("Difference", "差异"),
    "compare.difference.none": (
        "These two were said anew, so their difference sample by sample means nothing.",
        "这两条是各自重新说的，逐点相减没有意义。",
    ),
    "compare.difference.is": (
        "The difference is {quieter:.0f} dB below the voice; it is played {louder:.0f} dB louder.",
        "差异比人声低 {quieter:.0f} dB，播放时放大了 {louder:.0f} dB。",
    ),
    "compare.difference.zero": (
        "There is no difference at all: sample by sample the same.",
        "毫无差异：逐个采样完全相同。",
    ),
    "compare.picture": (
        "Spectrogram of {which}: {seconds:.1f} s from left to right, up to {top:.0f} kHz.",
        "{which} 的频谱图：从左到右 {seconds:.1f} 秒，最高 {top:.0f} kHz。",
    ),
    "compare.scale": (
        "A and B share one scale of {span:.0f} dB; |A−B| runs from 0 to {range:.0f} dB.",
        "A 与 B 使用同一刻度，共 {span:.0f} dB；|A−B| 为 0 到 {range:.0f} dB。",
    ),
    "compare.parting": (
        "Where they part: at most {most:.1f} dB, at {when:.1f} s; {mean:.1f} dB on average.",
        "差异所在：最大 {most:.1f} dB，在 {when:.1f} 秒处；平均 {mean:.1f} dB。",
    ),
    "compare.apart": ("Where they part", "差异所在"),
    "compare.only": ("only {stage}", "仅“{stage}”"),
    "compare.table.locked": (
        "float32's melody and rhythm, only rendered anew in each precision",
        "float32 的语调和节奏，只用各精度重新合成",
    ),
    "compare.table.forced": (
        "What the speaking model would have chosen, step by step",
        "说话模型逐步会选什么",
    ),
    "compare.table.free": ("Each precision's own reading", "各精度自己的读法"),
    "compare.table.costs": ("What it costs", "代价"),
    "compare.measure": ("Measure", "指标"),
    "compare.control": ("Control", "对照"),
    "compare.figures.hint": (
        "Each figure is the median over sentences and seeds, with the range it is 95 % sure to lie in. The "
        "control is float32 against float32 with other chance: what stays within it is ordinary variation.",
        "每个数字都是各句各种子的中位数，括号内为 95 % 置信范围。"
        "对照是 float32 换随机数后与自身比较：落在其中的属于正常变化。",
    ),
    "compare.rtf": ("Work for a second of sound", "每秒声音的计算"),
    "compare.speed": ("Speed against float32", "相对 float32 的速度"),
    "compare.memory": ("Weights in memory", "权重占用内存"),
    "compare.load": ("Loading", "载入"),
    "compare.costs.hint": (
        "Speeds are ratios to float32 of the same texts and seeds in the same run.",
        "速度为同一次运行中相同文字和种子与 float32 之比。",
    ),
    "compare.noisy": (
        "The machine was busy with other things while this was timed.",
        "计时期间本机在忙别的事情。",
    ),
    "compare.made": (
        "{count} takes of {texts} sentences on {place}.",
        "在 {place} 上为 {texts} 句话生成了 {count} 条录音。",
    ),
    "compare.left_out": ("Not made", "未生成"),
    # --- the blind test
    "blind.heading": ("Blind test", "盲听测试"),
    "blind.hint": (
        "Both takes at one loudness, in a new order each time, and nothing on the page tells which is which. "
        "You are told how you did only after the last trial.",
        "两条录音音量一致，每次顺序重新决定，页面上没有任何提示。做完最后一次才会告诉您结果。",
    ),
    "blind.kind": ("The question", "问题"),
    "blind.kind.abx": ("Can I tell them apart? (Is X A or B?)", "我能听出差别吗？（X 是 A 还是 B？）"),
    "blind.kind.preference": ("Which sounds better?", "哪个更好听？"),
    "blind.trials": ("How many trials", "次数"),
    "blind.trials.hint": (
        "Fixed before you begin: whoever stops when it looks good fools himself. 5 to 50.",
        "开始前就要定好：看到结果好就停会自欺。5 到 50 次。",
    ),
    "blind.trials.own": ("Own number", "自定次数"),
    "blind.begin": ("Begin", "开始"),
    "blind.close": ("Close", "关闭"),
    "blind.number": ("Trial {number} of {trials}", "第 {number} 次，共 {trials} 次"),
    "blind.ask.abx": ("Listen as often as you like. Which of the two is X?", "可以反复听。X 是哪一个？"),
    "blind.ask.preference": (
        "Listen as often as you like. Which of the two sounds better?",
        "可以反复听。哪一个更好听？",
    ),
    "blind.listen": ("Listen", "试听"),
    "blind.listen.to": ("Listen to {letter}", "听 {letter}"),
    "blind.answer": ("Your answer", "您的回答"),
    "blind.abx.A": ("X is A", "X 是 A"),
    "blind.abx.B": ("X is B", "X 是 B"),
    "blind.preference.A": ("A is better", "A 更好"),
    "blind.preference.B": ("B is better", "B 更好"),
    "blind.preference.=": ("No difference", "没有差别"),
    "blind.next": ("Next", "下一次"),
    "blind.last": ("Finish", "完成"),
    "blind.pause": ("Pause or play", "暂停或播放"),
    "blind.first": ("Choose an answer first: 1 or 2.", "请先选择回答：1 或 2。"),
    "blind.keys.abx": (
        "A, B, X listen · Space pauses · 1 or ← is A, 2 or → is B · Enter goes on · Esc for later",
        "A、B、X 试听 · 空格暂停 · 1 或 ← 选 A，2 或 → 选 B · Enter 继续 · Esc 稍后再做",
    ),
    "blind.keys.preference": (
        "A, B listen · Space pauses · 1 or ← is A, 2 or → is B, 3 neither · Enter goes on · Esc for later",
        "A、B 试听 · 空格暂停 · 1 或 ← 选 A，2 或 → 选 B，3 没有差别 · Enter 继续 · Esc 稍后再做",
    ),
    "blind.later": ("Later", "稍后再做"),
    "blind.abandon": ("Give up", "放弃"),
    "blind.resume": ("Go on with the blind test", "继续盲听测试"),
    "blind.result": ("Your result", "您的结果"),
    "blind.right": ("Right", "答对"),
    "blind.chosen": ("{name} chosen", "选 {name}"),
    "blind.p": ("Guessing does as well", "瞎猜也能达到"),
    "blind.p.value": ("{p:.1%} of times (p = {p:.4f})", "{p:.1%}（p = {p:.4f}）"),
    "blind.rate.abx": ("True rate of right answers", "真实答对率"),
    "blind.rate.preference": ("True rate of choosing it", "真实选择率"),
    "blind.rate.value": ("{low:.0%} to {high:.0%}", "{low:.0%} 到 {high:.0%}"),
    "blind.rate.hint": (
        "With 95 % confidence, were you to do this for ever. Guessing gives 50 %.",
        "若一直做下去，有 95 % 的把握落在此范围。瞎猜为 50 %。",
    ),
    "blind.what": ("The two sounds were {first} and {second}.", "两个声音分别是 {first} 和 {second}。"),
    "blind.list": ("Trial by trial", "逐次结果"),
    "blind.was": ("It was", "正确"),
    "blind.first_was": ("{name} was", "{name} 是"),
    "blind.said": ("You said", "您答"),
    "blind.again": ("Once more", "再来一次"),
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
    "engine.heading": ("The engines", "引擎"),
    "engine.absent": ("Install {titles}", "安装 {titles}"),
    "engine.way": ("Open Models", "打开“模型”页"),
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
        "telemetry. Only Install on the Models screen fetches, from the Hugging Face hub, and sends nothing "
        "else. Every file says in its metadata that it is AI-generated speech. Use a voice "
        "only with its owner's agreement.",
        "一切都在本机完成：页面不访问任何其他主机，也没有遥测。"
        "只有“模型”页的“安装”会从 Hugging Face 下载，不发送其他内容。"
        "每个文件的元数据都注明为 AI 生成语音。请只在得到本人同意后使用他人的声音。",
    ),
} | dict(models_words.TEXTS)

# Engines speak English of themselves: a line about each, and why the words of the clip help it.
CHINESE_ENGINES: Mapping[str, tuple[str, str]] = {
    "small": (
        "任何电脑都能用，无需下载；说英语。",
        "可不填：填写后，活泼语调会沿用片段自己的节奏和语调。",
    ),
    "gpt_sovits": (
        "用 3 到 10 秒录音克隆声音；写出片段里说的话会更像。",
        "从这些话接着说，声音会更像。v3 和 v4 必须填写，其他版本可不填。",
    ),
}

# What becomes of a clip that is too long for an engine (`Spec.overlong`).
CHINESE_OVERLONG: Mapping[str, str] = {
    "gpt_sovits": "更长的片段中，该引擎只取最好的 10 秒，片段里说的话也就没有用了；"
    "v3 和 v4 需要这些话，会拒绝。",
}

# The coach speaks English; these say the same by its findings' kinds and values.
CHINESE_FINDINGS: Mapping[str, str] = {
    "no_voice": "听不出片段里有人说话：请选一段有人声的录音。",
    "short": "片段只有 {seconds:.1f} 秒；{low:g} 到 {high:g} 秒最好。请录制或选择更长的片段。",
    "long": "片段长 {seconds:.1f} 秒，比需要的长；{low:g} 到 {high:g} 秒最好。",
    "overlong": "片段长 {seconds:.1f} 秒，比需要的长；{low:g} 到 {high:g} 秒最好。",
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
    "overlong": "截取最好的部分",
    "clipping": "修圆波峰",
    "noise": "轻度降噪",
    "silence": "剪掉静音",
    "quiet": "调高音量",
    "offset": "去掉偏移",
    "hum": "滤掉哼声",
}


# `pipelines.compare` and `pipelines.blind` speak English too.
CHINESE_LEVELS: Mapping[str, str] = {
    "reference": "完整精度，其他精度都以它为参照。",
    "same": "与 float32 完全一样。",
    "near": "与 float32 非常接近：差别比换一个随机数还小。",
    "other": "另一种读法：与 float32 的差别同换一个随机数相当。",
    "worse": "比换一个随机数的差别更大：请用耳朵判断。",
}
CHINESE_MEASURES: Mapping[str, tuple[str, str]] = {
    "lsd": ("对数谱距离", "两个声音的频谱平均相差多少；低于约 1 dB 时几乎没人听得出。"),
    "mcd": ("梅尔倒谱失真", "不计音量，音色相差多少；0 表示相同。"),
    "snr": ("信噪比", "人声比两者之差响多少；CD 为 96。"),
    "mr_stft": ("多分辨率 STFT", "从粗到细同时看，频谱相差多少；0 表示相同。"),
    "stoi": ("可懂度（STOI）", "float32 中听得懂的内容还有多少能听懂：1 表示全部。"),
    "pesq": ("质量（PESQ）", "电话测试的听众会如何评价差别，从 1（差）到 4.6（无差别）。"),
    "top1": ("首选相同", "模型有多少步认为最可能的单元与 float32 相同。"),
    "kl": ("每步散度（KL）", "模型对下一步的预期变化了多少；0 表示完全没变。"),
    "gap": ("logit 最大差", "模型给出的单个分数变化最大的一个。"),
    "first_step": ("首次变化前的步数", "多少步之后最可能的单元第一次不同。"),
    "dtw_mcd": ("两种读法的距离（DTW-MCD）", "把两种读法在时间上对齐后，音色相差多少。"),
    "wer_change": ("误听词数的变化", "每一百个词里，语音识别比听 float32 时多听错几个。"),
    "similarity_change": (
        "与原声相似度的变化",
        "比 float32 的读法更像还是更不像原说话人（陌生人约低 0.4）。",
    ),
    "duration": ("长度", "比 float32 的读法长或短多少。"),
    "pitch": ("音高", "平均音高与 float32 的读法相差多少。"),
    "pitch_range": ("语调起伏", "语调比 float32 的读法更活泼还是更平。"),
    "units_equal": ("单元相同", "两种读法在同一位置有多少单元（模型的声音字母）相同。"),
    "units_first": ("相同到何时", "在第一个不同的单元之前，两种读法一致了多久。"),
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


def listed(page: str, names: Sequence[str]) -> str:
    """Names one after the other, as the page's language does it."""
    return ("、" if page == "zh" else ", ").join(names)


def facts(page: str, english: str) -> str:
    """What an engine says of how it made a voice, as "name: words; name: words", in the page's language.

    >>> facts("zh", "blend: 3 of 7 basis voices; refined: 9 of 12 steps")
    '混合：7 个基础声音中的 3 个；细化：共 12 步，完成 9 步'
    """
    if page != "zh":
        return english
    names = "|".join(key.removeprefix("fact.") for key in TEXTS if key.startswith("fact."))
    facts = re.split(rf"; (?=(?:{names}): )", english)
    return "；".join(_fact(page, *fact.partition(": ")).rstrip("。") for fact in facts)


def _fact(page: str, name: str, colon: str, words: str) -> str:
    key = f"fact.{name}"
    return say(page, key, told=told(page, words)) if key in TEXTS else f"{name}{colon}{words}"


def precision(page: str, asked: str, used: str) -> str:
    """The precision of a take, and the one that was asked for where it is another.

    >>> precision("zh", "auto", "listen float32, say int8, render float32")
    '听 float32、说 int8、合成 float32（自动）'
    """
    if page != "zh":
        return f"{used} ({asked})" if asked and asked != used else used
    modes = [part.rpartition(" ") for part in used.split(", ")]
    shown = listed(
        page, [f"{say(page, f'stage.{stage}')} {mode}" if stage else mode for stage, _, mode in modes]
    )
    other = say(page, "settings.auto") if asked == "auto" else asked
    return f"{shown}（{other}）" if asked and asked != used else shown


def after(page: str, *sentences: str) -> str:
    """Sentences one after the other, as the page's language does it; empty ones are left out."""
    return ("" if page == "zh" else " ").join(filter(None, sentences))


def measure(page: str, name: str, label: str, sentence: str) -> tuple[str, str]:
    """A measure's label and sentence in the page's language; English where none is written."""
    return CHINESE_MEASURES.get(name, (label, sentence)) if page == "zh" else (label, sentence)


def named(page: str, key: str, name: str) -> str:
    """What people call it, where that is written under the key; else its name."""
    return say(page, key) if key in TEXTS else name


def languages(page: str, spec: Spec) -> list[tuple[str, str]]:
    """An engine's languages as (name, code), finding out by itself first."""
    codes = sorted(spec.languages, key=lambda code: code != "auto")
    return [(named(page, f"language.{code}", code), code) for code in codes]


def engine(page: str, spec: Spec) -> tuple[str, str]:
    """What to know of an engine, and why it asks what the clip says, in the page's language where written."""
    english = (spec.note, spec.transcript)
    return CHINESE_ENGINES.get(spec.name, english) if page == "zh" else english


def card(page: str, level: str, sounds: str, costs: str, cost: object) -> tuple[str, str]:
    """A mode's two sentences in the page's language: how it sounds and what it costs."""
    if page != "zh":
        return sounds, costs
    heard = CHINESE_LEVELS.get(level) or told(page, sounds)
    return heard, told(page, costs) if cost is None else _cost(cost)


def _cost(cost) -> str:
    if cost.speed is None:
        return f"每秒声音需计算 {cost.rtf:.2f} 秒，权重占 {cost.weights / 1e6:.0f} MB。"
    return f"速度为 float32 的 {cost.speed:.2f} 倍，权重占用为其 {cost.memory:.2f} 倍。"


def outcome(page: str, result) -> str:
    """How a blind test ended, in words that say no more than it does."""
    if page != "zh":
        return result.words
    odds = f"p = {result.p:.4f}"
    if result.kind == "abx":
        score = f"{result.trials} 次中答对 {result.score} 次，{odds}"
        if result.clear:
            return f"您听出了差别：{score}。只靠瞎猜，平均 {1 / result.p:,.0f} 轮才会有一次这么好。"
        return f"{result.trials} 次中您未能听出差别；这并不证明两者相同。（{score}。）"
    score = f"{result.score} 比 {result.counted - result.score}，{odds}"
    if result.clear:
        liked = result.names[0 if 2 * result.score > result.counted else 1]
        return f"您更喜欢 {liked}（{score}）。"
    return f"{result.trials} 次中没有明显偏好；这并不证明两者一样好听。（{score}。）"


def finding(page: str, found: Finding, engine: str) -> tuple[str, str | None]:
    """The coach's sentence and its button's label in the page's language; English where none is written."""
    if page != "zh" or found.kind not in CHINESE_FINDINGS:
        return found.words, found.mend
    said = CHINESE_FINDINGS[found.kind].format(**found.values)
    if found.kind == "overlong":
        if engine not in CHINESE_OVERLONG:
            return found.words, CHINESE_MENDS[found.kind]
        said += CHINESE_OVERLONG[engine]
    return said, CHINESE_MENDS.get(found.kind, found.mend) if found.mend else None
