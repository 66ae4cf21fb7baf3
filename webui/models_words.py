"""What the Models screen says, in English and in Chinese."""

from __future__ import annotations

from collections.abc import Mapping

from webui.sentences import told

TEXTS: Mapping[str, tuple[str, str]] = {
    "tab.models": ("Models", "模型"),
    "models.heading": ("Models", "模型"),
    "models.hint": (
        "What speaks here, and what can be added. Install fetches it once from the Hugging Face hub and "
        "sends nothing of yours; it is checked, and then runs offline.",
        "本机能用哪些模型，还可以添加哪些。“安装”只从 Hugging Face 下载一次，不发送您的任何内容；"
        "校验后离线运行。",
    ),
    "models.folder": (
        "Have you the official files already? Put them into {folder}: they are known by what they hold, "
        "whatever their names.",
        "已有官方文件？放进 {folder} 即可：程序按内容识别，与文件名无关。",
    ),
    "models.folder.or": (" or ", " 或 "),
    "models.elsewhere": (
        "You see what is installed here. Only a browser on this machine itself, at 127.0.0.1 or localhost, "
        "or a visitor who has signed in (--auth) can install, choose or remove models.",
        "您可以查看已安装的模型。只有在本机浏览器（127.0.0.1 或 localhost）中打开，"
        "或已登录的访客（--auth），才能安装、选择或移除模型。",
    ),
    "models.check": ("Check again", "重新检查"),
    "models.looking": ("Looking at {name} …", "正在查看 {name}……"),
    "models.looking.all": ("Looking at the files here …", "正在查看本机文件……"),
    "models.embedded": ("Comes with Myna", "Myna 自带"),
    "models.ready": ("Nothing to install.", "无需安装。"),
    "models.from": ("Official files from {home}", "官方文件来自 {home}"),
    # --- a card
    "models.state.installed": ("Installed", "已安装"),
    "models.state.found": ("Files are here", "文件已就位"),
    "models.state.part": ("Incomplete", "不完整"),
    "models.state.missing": ("Not installed", "未安装"),
    "models.state.busy": ("Working", "进行中"),
    "models.chosen": ("In use", "使用中"),
    "models.addition": ("Addition", "附加"),
    "models.rate": ("{rate:.0f} kHz", "{rate:.0f} kHz"),
    "models.lack.missing": (
        "Nothing of it is here yet: {size} to fetch.",
        "本机还没有任何文件：需下载 {size}。",
    ),
    "models.lack.part": (
        "{here} of {all} parts are here; {size} to fetch.",
        "{all} 个部分中已有 {here} 个；还需下载 {size}。",
    ),
    "models.lack.found": (
        "All files are here; they only have to be converted.",
        "文件齐全，只需转换。",
    ),
    "models.lack.installed": ("{count} parts, {size}.", "{count} 个部分，共 {size}。"),
    "models.resume": ("{size} of it came before the last stop.", "其中 {size} 在上次停止前已下载。"),
    "models.parts": ("What it is made of", "组成部分"),
    "models.part.installed": ("installed", "已安装"),
    "models.part.found": ("here", "已就位"),
    "models.part.missing": ("missing", "缺少"),
    "models.own": ("a file of your own: {name}", "您自己的文件：{name}"),
    "models.repository": ("Repository", "仓库"),
    "models.copy": ("Copy", "复制"),
    "models.copy.file": ("Copy the name {name}", "复制名称 {name}"),
    "models.copied": ("Copied", "已复制"),
    "models.licence": ("Licence: {licence}", "许可：{licence}"),
    "models.licence.of": ("{licence} ({owners})", "{licence}（{owners}）"),
    "models.source": ("Weights: {source}", "权重：{source}"),
    "models.unused": ("Files that are not used", "未使用的文件"),
    "models.own.heading": ("Files of your own", "您自己的文件"),
    "models.own.hint": (
        "Voices that somebody trained on these models. Converted, they speak in place of the official part.",
        "在这些模型上训练出的声音。转换后可代替官方部分使用。",
    ),
    "models.kind.speaker": ("speaker (s1) of {version}", "{version} 的说话模型（s1）"),
    "models.kind.decoder": ("decoder (s2) of {version}", "{version} 的解码器（s2）"),
    "models.kind.lora": ("LoRA of {version}", "{version} 的 LoRA"),
    "models.adopt": ("Convert", "转换"),
    "models.adopt.name": ("Convert {name}", "转换 {name}"),
    "models.prefer": ("Use it", "使用"),
    "models.prefer.name": ("Use {name}", "使用 {name}"),
    "models.discard": ("Remove …", "移除……"),
    "models.discard.name": ("Remove {name} …", "移除 {name}……"),
    "models.discard.ask": (
        "Remove {name}? Its converted part is deleted; the file that it was made of stays.",
        "移除 {name}？将删除转换后的部分，原文件会保留。",
    ),
    "models.restore": ("Back to the official part", "换回官方部分"),
    "models.restore.name": (
        "Back to the official part instead of {name}",
        "用官方部分替换 {name}",
    ),
    # --- what can be done
    "models.install": ("Install ({size})", "安装（{size}）"),
    "models.resume.install": ("Go on ({size} left)", "继续（还剩 {size}）"),
    "models.use": ("Use the files found", "使用已有文件"),
    "models.official": ("Fetch the official files instead ({size})", "改为下载官方文件（{size}）"),
    "models.choose": ("Use this version", "使用此版本"),
    "models.unpack": ("Unpack now", "立即解开"),
    "models.remove": ("Remove …", "移除……"),
    "models.remove.ask": (
        "Remove {title}? These folders are deleted: {folders}. Official files that you put here stay.",
        "移除 {title}？将删除这些文件夹：{folders}。您自己放入的官方文件会保留。",
    ),
    "models.remove.yes": ("Remove", "移除"),
    "models.remove.no": ("Keep", "保留"),
    # --- progress
    "models.start": ("Starting …", "正在开始……"),
    "models.wait": ("Waiting for other work to end", "正在等待其他任务完成"),
    "models.look": ("Looking at {name}", "正在查看 {name}"),
    "models.fetch": ("Fetching {name}: {done} of {total}", "正在下载 {name}：{done} / {total}"),
    "models.convert": ("Converting {name}", "正在转换 {name}"),
    "models.stopping": ("Stopping …", "正在停止……"),
    "models.stopped": (
        "Stopped. What was fetched is kept; the next start goes on from there.",
        "已停止。已下载的部分会保留，下次从那里继续。",
    ),
    "models.unknown": ("There is no such model.", "没有这个模型。"),
    "part.gpt_sovits.hubert": ("HuBERT, which hears the reference", "HuBERT，用来听参考录音"),
    "part.gpt_sovits.s1v1": ("speaker (s1) of v1", "v1 的说话模型（s1）"),
    "part.gpt_sovits.s1v2": ("speaker (s1) of v2", "v2 的说话模型（s1）"),
    "part.gpt_sovits.s1v3": ("speaker (s1) of v2Pro to v4", "v2Pro 至 v4 的说话模型（s1）"),
    "part.gpt_sovits.s2v1": ("decoder (s2) of v1", "v1 的解码器（s2）"),
    "part.gpt_sovits.s2v2": ("decoder (s2) of v2", "v2 的解码器（s2）"),
    "part.gpt_sovits.s2v2Pro": ("decoder (s2) of v2Pro", "v2Pro 的解码器（s2）"),
    "part.gpt_sovits.s2v2ProPlus": ("decoder (s2) of v2ProPlus", "v2ProPlus 的解码器（s2）"),
    "part.gpt_sovits.s2v3": ("decoder (s2) of v3", "v3 的解码器（s2）"),
    "part.gpt_sovits.s2v4": ("decoder (s2) of v4", "v4 的解码器（s2）"),
    "part.gpt_sovits.verifier": ("ERes2NetV2, which knows voices apart", "ERes2NetV2，用来分辨说话人"),
    "part.gpt_sovits.bigvgan": ("BigVGAN, the vocoder of v3", "BigVGAN，v3 的声码器"),
    "part.gpt_sovits.vocoder": ("vocoder of v4", "v4 的声码器"),
    "part.gpt_sovits.bert": ("RoBERTa, which reads Chinese", "RoBERTa，用来读中文"),
    # --- the editions
    "title.gpt_sovits.chinese": ("Chinese text", "中文朗读"),
    "edition.gpt_sovits": (
        "Copies a voice from 3 to 10 seconds, in up to five languages.",
        "用 3 到 10 秒的录音克隆声音，最多支持五种语言。",
    ),
    "edition.gpt_sovits.v1": (
        "The first version, kept for voices that were made with it.",
        "最初的版本，供用它制作的声音使用。",
    ),
    "edition.gpt_sovits.v2": ("The smallest files for all five languages.", "文件最小，支持全部五种语言。"),
    "edition.gpt_sovits.v2Pro": (
        "As v2, and hears who speaks: nearer to the voice, at little more cost.",
        "在 v2 基础上能分辨说话人：声音更像，代价很小。",
    ),
    "edition.gpt_sovits.v2ProPlus": (
        "v2Pro with a larger decoder: a fuller sound, somewhat slower.",
        "v2Pro 加上更大的解码器：声音更饱满，稍慢。",
    ),
    "edition.gpt_sovits.v3": (
        "Very near to the voice, by flow matching; slow without a graphics card.",
        "采用流匹配，声音非常像；没有显卡时较慢。",
    ),
    "edition.gpt_sovits.v4": (
        "As v3 with a clearer sound at 48 kHz; slow without a graphics card.",
        "在 v3 基础上以 48 kHz 输出，声音更清晰；没有显卡时较慢。",
    ),
    "edition.gpt_sovits.chinese": (
        "Reads Chinese in every version. Not needed for other languages.",
        "任何版本朗读中文都需要它；其他语言不需要。",
    ),
}  # fmt: skip

# `pipelines.hub` speaks English; these say the same by its setbacks' kinds and values.
CHINESE_SETBACKS: Mapping[str, str] = {
    "offline": "无法连接 {repository}：本机似乎没有联网。请在别处下载 {files} 并放进 {inbox}。",
    "gone": "{repository} 上已没有 {file}，或已改名。请把 {files} 放进 {inbox}："
    "权重按内容识别，与文件名无关。",
    "closed": "{repository} 需先申请才提供 {file}。请在其页面申请，用 hf auth login 登录后再试。",
    "refused": "{repository} 没有给出 {file}：它回答 {status}。请稍后再试。",
    "changed": "{repository} 上的 {file} 已不是当初发布的文件（现为 {found}，应为 {expected}），"
    "因此没有采用。",
    "damaged": "{file} 传输损坏：sha256 开头为 {found}，应为 {expected}。已删除，请重试。",
    "broken": "{file} 下载到 {done} / {total} 时连接中断。已下载的部分会保留：再按“安装”即可继续。",
    "disk": "{inbox} 所在磁盘剩余 {free}，需要 {need}。请腾出空间后再试。",
    "busy": "另一个 Myna 正在向 {inbox} 安装，请等它完成。",
    "missing": "还缺少这些文件：{files}。",
    "nothing": "在 {inbox} 中没有找到 {edition} 的文件。",
    "vanished": "这个文件已不在了，请重新检查。",
    "absent": "{edition} 尚未安装，无法使用。",
    "needed": "{edition} 没有可移除的内容：其他已安装的版本都需要它的全部。",
}


def setback(page: str, kind: str, english: str, values: Mapping[str, str]) -> str:
    """A setback's sentence in the page's language."""
    if page != "zh":
        return english
    files = "、".join(values.get("files", "").split(", "))
    parts = {name: told(page, value) for name, value in values.items()} | {"files": files}
    return CHINESE_SETBACKS[kind].format(**parts)
