"""Mandarin to pinyin phones: segmentation (rjieba, MIT), readings (pypinyin, MIT), and the changes of tone.

Traditional characters become simplified ones (opencc, Apache-2.0), as the official models were trained.
Every Han character gives two phones, an initial and a final with its tone; every mark gives one.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from re import Match

from pipelines.engines.gpt_sovits.text.symbols import PINYIN_FINALS, UNKNOWN, Version
from pipelines.engines.gpt_sovits.text.written import Speech, marks, put_in_words, value
from pipelines.types import InputError

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af〇"
LIBRARIES = {"pypinyin": "pypinyin", "rjieba": "rjieba", "opencc": "opencc"}


def require(language: str, libraries: dict[str, str]) -> None:
    """Raises `InputError` that says what to install where one of `libraries` (module: package) is missing."""
    if any(find_spec(module) is None for module in libraries):
        raise InputError(
            f"To read {language}, install {' and '.join(libraries.values())}: "
            f"pip install {' '.join(libraries.values())}"
        )


# --- numbers ----------------------------------------------------------------------------------------------

DIGITS = "零一二三四五六七八九"
PLACES = ("", "十", "百", "千")
MYRIADS = ("", "万", "亿", "万亿", "亿亿")


def digits(written: str) -> str:
    """Every digit by its name."""
    return "".join(DIGITS[int(c)] if c.isdecimal() else "点" if c == "." else "" for c in written)


def cardinal(number: int) -> str:
    """10 as 十, 110 as 一百一十, 10003 as 一万零三."""
    if number < 10:
        return DIGITS[number]
    groups: list[int] = []
    while number:
        number, group = divmod(number, 10_000)
        groups.append(group)
    said, gap = "", False
    for place in reversed(range(len(groups))):
        group = groups[place]
        if group:
            said += ("零" if said and (gap or group < 1000) else "") + _thousands(group) + MYRIADS[place]
        gap = not group
    return said.removeprefix("一") if said.startswith("一十") else said


def _thousands(group: int) -> str:
    said, zero = "", False
    for place, digit in zip("3210", f"{group:04d}", strict=True):
        if digit == "0":
            zero = bool(said)
        else:
            said += ("零" if zero else "") + DIGITS[int(digit)] + PLACES[int(place)]
            zero = False
    return said


def number(written: str) -> str:
    """Digits with at most one point: 3.14 as 三点一四. A leading 0 or more than 16 digits: spelled."""
    whole, point, fraction = written.partition(".")
    spelled = (len(whole) > 1 and whole[0] == "0") or len(whole) > 16
    said = digits(whole) if spelled else cardinal(int(whole))
    return said + (f"点{digits(fraction)}" if point else "")


def _counted(match: Match[str]) -> str:
    """A number before a measure word: 2 is 两."""
    said = number(value(match.group(1)))
    return "两" if said == "二" else said


def _hours(hour: int, minute: int, second: int | None) -> str:
    said = ("两" if hour == 2 else cardinal(hour)) + "点"
    if second is None and minute in (0, 30):
        return said + ("半" if minute else "整" if hour > 12 else "")
    said += ("零" if minute < 10 else "") + cardinal(minute) + "分"
    return said + ("" if second is None else cardinal(second) + "秒")


def _date(year: str | None, month: str, day: str) -> str:
    return (f"{digits(year)}年" if year else "") + f"{cardinal(int(month))}月{cardinal(int(day))}日"


# After these 2 is 两; before 月, 日, 号, 楼, 年级 and the like it stays 二.
MEASURES = (
    "个|只|张|条|件|位|名|种|块|元|年(?!级)|天|周|岁|小时|分钟|秒钟|点钟|人|家|辆|台|部|杯|瓶|碗|本|支|枝|把"
    "|间|座|"
    "次|遍|回|趟|场|双|对|套|页|句|段|篇|首|公里|公斤|千米|千克|米|斤|吨|升|倍|万|亿|千|百万|口|头|匹|棵|颗"
    "|朵|片|"
    "份|封|根|架|艘|层|道|顿|股|门|排|盘|批|扇|束|所|台|项|样|则|盏|阵|株|桩|幢|組|组"
)
BARE = r"(?<![\d.$€£¥￥])(?<![$€£¥￥] )"  # before a number that is no price
UNITS = {
    "km/h": "公里每小时", "m/s": "米每秒", "km²": "平方公里", "km2": "平方公里", "m²": "平方米",
    "m2": "平方米",
    "m³": "立方米", "m3": "立方米", "km": "公里", "cm": "厘米", "mm": "毫米", "nm": "纳米", "μm": "微米",
    "m": "米",
    "kg": "公斤", "mg": "毫克", "g": "克", "t": "吨", "ml": "毫升", "mL": "毫升", "L": "升", "l": "升",
    "s": "秒",
    "ms": "毫秒", "min": "分钟", "h": "小时", "°C": "摄氏度", "°F": "华氏度", "°": "度", "Hz": "赫兹",
    "kHz": "千赫", "MHz": "兆赫", "GHz": "吉赫", "W": "瓦", "kW": "千瓦", "kWh": "千瓦时", "V": "伏",
    "dB": "分贝",
    "‰": "千分点", "GB": "吉字节", "MB": "兆字节", "KB": "千字节", "TB": "太字节",
}  # fmt: skip
MONEY = {
    "$": "美元", "US$": "美元", "HK$": "港元", "€": "欧元", "£": "英镑", "¥": "元", "￥": "元", "₩": "韩元",
    "₽": "卢布", "₹": "卢比", "USD": "美元", "EUR": "欧元", "RMB": "元", "CNY": "元", "JPY": "日元",
    "HKD": "港元",
}  # fmt: skip
SIGNS = {
    "+": "加", "-": "减", "×": "乘", "*": "乘", "÷": "除以", "=": "等于", "<": "小于", ">": "大于",
    "≤": "小于等于",
    "≥": "大于等于", "≠": "不等于", "≈": "约等于", "±": "正负", "&": "和", "@": "艾特", "#": "井号",
    "%": "百分号",
    "①": "一", "②": "二", "③": "三", "④": "四", "⑤": "五", "π": "派", "α": "阿尔法", "β": "贝塔", "Ω": "欧姆",
}  # fmt: skip
SPEECH = Speech(
    number=number,
    digits=digits,
    date=_date,
    time=_hours,
    percent=lambda said: f"百分之{said}",
    fraction=lambda upper, lower: f"{number(lower)}分之{number(upper)}",
    money=MONEY,
    units=UNITS,
    signs=SIGNS,
    minus="负",
    upto="到",
    ratio="比",
    below_zero="零下",
    call=lambda written: digits(written).replace("一", "幺"),
    own=(
        (r"(\d{4})(?=到\d{4}年)", lambda m: digits(m.group(1))),
        (r"(\d{4}|\d{2})(?=年(?!前|后|来|内|间|以))", lambda m: digits(m.group(1))),
        (r"第(\d+)", lambda m: f"第{number(m.group(1))}"),
        (rf"{BARE}(\d[\d,]*)(?={MEASURES})", _counted),
        (r"(\d+)(?=多|几|余)", lambda m: number(m.group(1))),
    ),
)


# --- text -------------------------------------------------------------------------------------------------


@cache
def _simplifier() -> object:
    from opencc import OpenCC

    return OpenCC("t2s")


def normalise(text: str) -> tuple[str, tuple[str, ...]]:
    """`text` as simplified Han characters and the marks ! ? … , . - , and notes. Nothing else remains."""
    require("Chinese", LIBRARIES)
    text = put_in_words(text, SPEECH)
    text = _simplifier().convert(text).replace("嗯", "恩").replace("呣", "母")
    text = text.replace("〇", "零").replace("々", "")
    return marks(text, _readable)


def _readable(character: str) -> bool:
    from pypinyin.constants import PINYIN_DICT

    return ord(character) in PINYIN_DICT and character != "噷"  # its "hm" is no syllable


@dataclass
class Syllable:
    """One Han character as it is said: pinyin without tone, tone 1 to 5 (5: none)."""

    character: str
    sound: str
    tone: int


@dataclass
class Word:
    """A word, its part of speech as jieba names it, and its syllables."""

    tag: str
    syllables: list[Syllable]

    @property
    def text(self) -> str:
        return "".join(syllable.character for syllable in self.syllables)

    @property
    def tones(self) -> list[int]:
        return [syllable.tone for syllable in self.syllables]


def phones(normal: str, version: Version) -> tuple[list[str], list[int]]:
    """Phones of what `normalise` gave, and how many each of its characters has (their sum is all)."""
    said: list[str] = []
    counts: list[int] = []
    for stretch in re.findall(rf"[{HAN}]+|[^{HAN}]", normal):
        if not re.match(f"[{HAN}]", stretch):
            said.append(stretch)
            counts.append(1)
            continue
        for word in spoken(stretch, erhua=version != "v1"):
            for syllable in word.syllables:
                said += initial_final(syllable.sound, syllable.tone)
                counts.append(2)
    return said, counts


def spoken(stretch: str, erhua: bool = True) -> list[Word]:
    """Words of Han characters alone, in their tones as they are said together."""
    import rjieba

    words = [Word(tag, _readings(text)) for text, tag in rjieba.tag(stretch, True)]
    _by_neighbours(words)
    for join in (_join_bu, _join_yi, _join_same, _join_thirds, _join_er):
        words = join(words)
    for word in words:
        for change in (_change_bu, _change_yi, _lose_tone, _change_third):
            change(word)
        if erhua:
            _change_er(word)
    return words


def _readings(text: str) -> list[Syllable]:
    from pypinyin import Style, lazy_pinyin

    if text in READINGS:
        found = READINGS[text].split()
    else:
        found = lazy_pinyin(text, style=Style.TONE3, neutral_tone_with_five=True, errors=lambda _: [""])
    if len(found) != len(text):
        found = [lazy_pinyin(c, style=Style.TONE3, neutral_tone_with_five=True)[0] for c in text]
    return [
        Syllable(c, sound.rstrip("12345"), int(sound[-1]) if sound[-1:].isdigit() else 5)
        for c, sound in zip(text, (CITED.get(c, f) for c, f in zip(text, found, strict=True)), strict=True)
    ]


CITED = {"一": "yi1", "不": "bu4"}  # where pypinyin lists a phrase it has already changed their tones

# Words whose readings the dictionary of pypinyin has not or has wrong.
READINGS = {
    "角色": "jue2 se4", "主角": "zhu3 jue2", "配角": "pei4 jue2", "似的": "shi4 de5", "还有": "hai2 you3",
    "都是": "dou1 shi4", "长得": "zhang3 de5", "觉得": "jue2 de5", "记得": "ji4 de5", "晓得": "xiao3 de5",
    "懂得": "dong3 de5", "值得": "zhi2 de5", "显得": "xian3 de5", "使得": "shi3 de5", "免得": "mian3 de5",
    "好玩": "hao3 wan2", "还是": "hai2 shi4", "着急": "zhao2 ji2", "睡着": "shui4 zhao2", "为了": "wei4 le5",
    "因为": "yin1 wei4", "为什么": "wei4 shen2 me5", "什么": "shen2 me5", "一会儿": "yi1 hui4 er2",
    "目的": "mu4 di4",
    "只有": "zhi3 you3", "只要": "zhi3 yao4", "只是": "zhi3 shi4", "了不起": "liao3 bu5 qi3",
    "得了": "de2 le5", "行不行": "xing2 bu5 xing2", "银行": "yin2 hang2", "校长": "xiao4 zhang3",
}  # fmt: skip


# A character whose reading its neighbours decide: (end of what is before, start of what is after, reading);
# the first that fits, else pypinyin's commonest reading stands.
ALONE = {
    "得": [("", "了[第一二三两几冠亚季金银铜奖病满]", "de2"), ("", "马上|赶紧|赶快|去|走|先|再", "dei3"),
           (".", "", "de5"), ("", "", "de2")],
    "地": [("[的块片此该这那各每本一种满遍就当土把扫拖擦占]", "", "di4"),
           ("", "[上下方面球区]", "di4"), (".", "", "de5"), ("", "", "di4")],
    "着": [(".", "", "zhe5")],
    "还": [("", "给|钱|书|债|清|款|了", "huan2"), ("[归偿]", "", "huan2"), ("", "", "hai2")],
    "都": [("[首古故京]", "", "du1"), ("", "", "dou1")],
    "为": [("", "\\Z", "wei2"), ("[以有成作称认视分变化定名评选改列译设约均仅即是长宽重深]", "", "wei2"),
           ("", "", "wei4")],
    "只": [("[一两二三四五六七八九十百千万几多这那每哪半]", "", "zhi1"), ("", "", "zhi3")],
    "长": [("", "[大高胖成出得]", "zhang3"),
           ("[市校院部队班团行会船店厂科处局察书区员计县镇乡村组省州站家酋增成生]", "", "zhang3"),
           ("", "", "chang2")],
    "重": [("", "[新复来做写建逢]", "chong2"), ("", "", "zhong4")],
    "行": [("[一两几二三四五六七八九十第每这那银]", "", "hang2"), ("", "", "xing2")],
    "没": [("[淹沉埋出吞]", "", "mo4"), ("", "", "mei2")],
    "种": [("[多几一两三四五六七八九十各这那每某数]", "", "zhong3"),
           ("", "[了着下上植过花树地田菜草瓜豆]", "zhong4"), ("", "", "zhong3")],
    "数": [("一", "", "shu3"), ("", "[一了着到不]", "shu3"), ("", "", "shu4")],
    "干": [("", "[净燥旱]", "gan1"), ("", "", "gan4")],
    "空": [("[有没得抽填]", "", "kong4"), ("", "", "kong1")],
    "倒": [("", "[下在塌闭]", "dao3"), ("[摔跌打推病晕]", "", "dao3"), ("", "", "dao4")],
    "教": [("", "[育师室授学堂练材主训会徒皇派义程科条改养导诲]", "jiao4"),
           ("[佛道宗督请任管执助]", "", "jiao4"), ("", "", "jiao1")],
    "背": [("", "[着包书起]", "bei1"), ("", "", "bei4")],
    "转": [("", "[圈动]", "zhuan4"), ("", "", "zhuan3")],
    "觉": [("[睡午]", "", "jiao4"), ("", "", "jue2")],
    "乐": [("[音奏声配]", "", "yue4"), ("", "", "le4")],
    "相": [("[照真长面]", "", "xiang4"), ("", "", "xiang1")],
    "假": [("[放请度休暑寒病]", "", "jia4"), ("", "", "jia3")],
    "量": [("", "[了一]", "liang2"), ("", "", "liang4")],
    "更": [("", "[新改换正衣]", "geng1"), ("", "", "geng4")],
    "和": [("", "", "he2")],
    "好": [("", "", "hao3")],
    "少": [("", "", "shao3")],
    "当": [("", "", "dang1")],
    "过": [("", "", "guo4")],
}  # fmt: skip
PARTICLES = {"了": "ul", "着": "uz", "过": "ug"}


def _by_neighbours(words: list[Word]) -> None:
    """Settle the characters of `ALONE` where no dictionary lists the word."""
    from pypinyin.constants import PHRASES_DICT

    syllables = [syllable for word in words for syllable in word.syllables]
    free = [one for word in words for one in _free(word.text, PHRASES_DICT)]
    text = "".join(syllable.character for syllable in syllables)
    for place, syllable in enumerate(syllables):
        for left, right, reading in ALONE.get(syllable.character, ()) if free[place] else ():
            if re.search(rf"(?:{left})\Z", text[:place]) and re.match(right, text[place + 1 :]):
                syllable.sound, syllable.tone = reading[:-1], int(reading[-1])
                break


def _free(text: str, phrases: Container[str]) -> list[bool]:
    """Which characters of a word are in no listed word within it, the longest taken first."""
    free = [True] * len(text)
    start = 0
    while start < len(text):
        length = next(
            (n for n in range(len(text) - start, 1, -1) if _listed(text[start : start + n], phrases)), 1
        )
        if length > 1:
            free[start : start + length] = [False] * length
        start += length
    return free


def _listed(text: str, phrases: Container[str]) -> bool:
    return text in READINGS or text in phrases


# --- words that are said together ------------------------------------------------------------------------


def _join_bu(words: list[Word]) -> list[Word]:
    """不 goes with the word after it."""
    joined: list[Word] = []
    for word in words:
        if joined and joined[-1].text == "不":
            joined[-1] = Word(word.tag, joined[-1].syllables + word.syllables)
        else:
            joined.append(word)
    return joined


def _join_yi(words: list[Word]) -> list[Word]:
    """看 一 看 is one word; else 一 goes with the word after it."""
    joined: list[Word] = []
    for place, word in enumerate(words):
        after = words[place + 1] if place + 1 < len(words) else None
        if (
            joined
            and joined[-1].text.endswith("一")
            and joined[-1].text[:-1] == word.text
            and word.tag == "v"
        ):
            joined[-1].syllables += word.syllables
        elif joined and joined[-1].text == "一":
            joined[-1] = Word(word.tag, joined[-1].syllables + word.syllables)
        elif word.text == "一" and joined and after and after.text == joined[-1].text and after.tag == "v":
            joined[-1].syllables += word.syllables
        else:
            joined.append(word)
    return joined


def _join_same(words: list[Word]) -> list[Word]:
    joined: list[Word] = []
    for word in words:
        if joined and joined[-1].text == word.text:
            joined[-1].syllables += word.syllables
        else:
            joined.append(word)
    return joined


def _doubled(word: Word) -> bool:
    return len(word.syllables) == 2 and word.text[0] == word.text[1]


def _join_thirds(words: list[Word]) -> list[Word]:
    """Neighbours of at most three syllables together that meet in two third tones."""
    for meet in (
        lambda left, right: {*left, *right} == {3},
        lambda left, right: left[-1] == right[0] == 3,
    ):
        joined: list[Word] = []
        fresh = True  # the word before was not joined itself
        for place, word in enumerate(words):
            before = words[place - 1] if place else None
            if (
                before
                and fresh
                and meet(before.tones, word.tones)
                and not _doubled(before)
                and len(before.syllables) + len(word.syllables) <= 3
            ):
                joined[-1] = Word(joined[-1].tag, joined[-1].syllables + word.syllables)
                fresh = False
            else:
                joined.append(word)
                fresh = True
        words = joined
    return words


def _join_er(words: list[Word]) -> list[Word]:
    joined: list[Word] = []
    for word in words:
        if joined and word.text == "儿":
            joined[-1] = Word(joined[-1].tag, joined[-1].syllables + word.syllables)
        else:
            joined.append(word)
    return joined


# --- changes of tone --------------------------------------------------------------------------------------

NUMERALS = frozenset("零一二三四五六七八九十百千万亿两")


def _change_bu(word: Word) -> None:
    """不 has no tone within 看不懂, and the second before a fourth: 不怕."""
    if len(word.syllables) == 3 and word.text[1] == "不":
        word.syllables[1].tone = 5
        return
    for syllable, after in zip(word.syllables, word.syllables[1:], strict=False):
        if syllable.character == "不" and after.tone == 4:
            syllable.tone = 2


def _change_yi(word: Word) -> None:
    """一 keeps its tone in numbers and 第一, loses it in 看一看; 2 before a fourth tone, else 4."""
    text = word.text
    if set(text) <= NUMERALS:
        return
    if len(text) == 3 and text[1] == "一" and text[0] == text[2]:
        word.syllables[1].tone = 5
        return
    if text.startswith("第一"):
        return
    for syllable, after in zip(word.syllables, word.syllables[1:], strict=False):
        if syllable.character == "一" and after.character not in NUMERALS - {"百", "千", "万", "亿"}:
            syllable.tone = 2 if after.tone == 4 or after.character == "个" else 4


FINAL_PARTICLES = frozenset("吧呢哈啊呐噻嘛吗吖哦哒哩哟喽啰耶喔诶呀哇啦么")


def _lose_tone(word: Word) -> None:
    """Particles, second halves of doublings, suffixes and words of custom end without a tone."""
    text, tag, syllables = word.text, word.tag, word.syllables
    last = syllables[-1]
    for place in range(1, len(text)):
        if text[place] == text[place - 1] and tag[:1] in ("n", "v", "a", "r") and text not in FULL_DOUBLINGS:
            syllables[place].tone = 5
    if last.character in FINAL_PARTICLES or text in ("的", "地", "得") and last.sound == "de":
        last.tone = 5
    elif text in PARTICLES and tag == PARTICLES[text]:
        last.tone = 5
    elif (
        len(text) > 1
        and last.character in "们子"
        and tag[:1] in ("r", "n", "v", "x")
        and text not in FULL_ENDINGS
    ):
        last.tone = 5
    elif (
        len(text) > 1
        and last.character in "上下里"
        and tag[:1] in ("s", "l", "f")
        and text not in FULL_ENDINGS
    ):
        last.tone = 5
    elif len(text) > 1 and last.character in "来去" and text[-2] in "上下进出回过起开":
        last.tone = 5
    for place, character in enumerate(text):
        if character == "个" and (text == "个" or (place and text[place - 1] in COUNTED_BY_GE)):
            syllables[place].tone = 5
    for start in range(len(text) - 1):
        if text[start : start + 2] in TONELESS and (start == len(text) - 2 or start == 0):
            syllables[start + 1].tone = 5


COUNTED_BY_GE = NUMERALS | frozenset("几有半多各整每做是这那哪")
FULL_DOUBLINGS = frozenset(
    "人人 哈哈 想想 数数 打打 考考 冉冉 青青 死死 家家户户 花花草草 吵吵 整整 个个 刚刚 常常 仅仅 渐渐 往往"
    " 纷纷 偏偏 熙熙 恳恳".split()
)
FULL_ENDINGS = frozenset(
    "男子 女子 分子 原子 量子 电子 粒子 离子 质子 中子 光子 因子 莲子 石子 瓜子 学子 算子 卵子 精子 王子"
    " 太子 天子 君子"
    " 才子 孔子 老子 庄子 孟子 孙子兵法 弟子 父子 母子 游子 棋子 以下 以上 之下 之上 天下 地下 手下"
    " 上下".split()
)
# The standard list of words whose second syllable has no tone (the test of Putonghua), the commoner ones.
# Its end: words whose second syllable the official models were always given without a tone.
TONELESS = frozenset(
    """爱人 巴掌 白净 帮手 棒槌 包袱 包涵 本事 比方 扁担 别扭 拨弄 簸箕 补丁 不由 裁缝 财主 苍蝇 差事 柴火
    称呼 锄头
    畜生 窗户 刺猬 凑合 耷拉 答应 打扮 打点 打发 打量 打算 打听 大方 大爷 大夫 大意 耽搁 耽误 道士 灯笼 提防
    地道 地方
    弟兄 点心 东家 东西 动静 动弹 豆腐 嘟囔 对付 多么 队伍 耳朵 风筝 福气 甘蔗 干事 高粱 膏药 告诉 疙瘩 胳膊
    工夫
    功夫 姑娘 故事 寡妇 怪物 关系 官司 罐头 规矩 闺女 蛤蟆 含糊 行当 合同 和尚 核桃 红火 后头 厚道 狐狸 胡琴
    糊涂
    护士 皇上 活泼 火候 伙计 机灵 脊梁 记号 记性 家伙 架势 嫁妆 见识 将就 交情 叫唤 结实 街坊 姐夫 戒指 精神
    咳嗽
    客气 口袋 窟窿 快活 阔气 喇叭 喇嘛 懒得 浪头 老婆 老实 老爷 累赘 篱笆 里头 力气 厉害 利落 利索 痢疾 连累
    凉快
    粮食 溜达 萝卜 骆驼 麻烦 麻利 马虎 码头 买卖 馒头 忙活 冒失 眉毛 媒人 门道 眯缝 迷糊 苗条 苗头 名堂 名字
    明白
    蘑菇 模糊 木匠 木头 难为 脑袋 能耐 念叨 念头 娘家 奴才 女婿 暖和 疟疾 牌楼 盘算 朋友 脾气 屁股 便宜 漂亮
    婆家
    铺盖 欺负 前头 亲家 亲戚 勤快 清楚 情形 拳头 热闹 人家 认识 扫帚 商量 上司 上头 烧饼 少爷 舌头 身份 什么
    生意
    牲口 师父 师傅 石匠 石榴 石头 时候 实在 拾掇 使唤 世故 似的 事情 收成 收拾 首饰 舒服 舒坦 疏忽 爽快 思量
    算计
    岁数 踏实 抬举 太阳 特务 跳蚤 铁匠 头发 妥当 唾沫 挖苦 娃娃 晚上 尾巴 委屈 位置 温和 稳当 窝囊 喜欢 下巴
    吓唬
    先生 乡下 相声 消息 小气 笑话 谢谢 心思 星星 行李 兄弟 休息 秀才 秀气 学生 学问 丫头 衙门 哑巴 胭脂 烟筒
    眼睛
    秧歌 养活 吆喝 妖精 钥匙 衣服 衣裳 意思 应酬 冤枉 月饼 月亮 云彩 运气 在乎 怎么 扎实 眨巴 栅栏 张罗 丈夫
    帐篷
    招呼 招牌 折腾 这个 那个 这么 那么 枕头 芝麻 知识 指甲 指头 主意 转悠 庄稼 壮实 状元 字号 自在 祖宗 嘴巴
    琢磨
    作坊 葡萄 玻璃 薄荷 琵琶 枇杷 葫芦 玫瑰 胡同 菩萨 咖喱 蜡烛 困难 部分 过去 聪明 太太 爸爸 妈妈 哥哥 姐姐
    弟弟
    妹妹 爷爷 奶奶 叔叔 伯伯 舅舅 姑姑 宝宝 婆婆 公公 猩猩 蛐蛐 蝈蝈 客人 早上 夫人 味道 眼镜 意识 新鲜 漂亮
    活计
    媳妇 打手 含糊 苍蝇 帐子 起来 出来 进来 回来 过来 下来 上来 出去 进去 回去 下去 上去 嘱咐 照顾 讲究 佩服
    介绍 多少 得罪 父亲 母亲 老头 棺材 琉璃 凤凰
    棉花 计划 刺激 分析 逻辑 幸福 熟悉 费用 编辑 报复""".split()
) - {"过去", "眼镜", "打手", "地道", "大意", "蜡烛", "玫瑰", "客人", "夫人"}


def _change_third(word: Word) -> None:
    """A third tone before a third is a second: 你好, 展览馆 (2 2 3), 纸老虎 (3 2 3), 所有人 (2 3 2).

    Within 共产党 (共产 + 党) the official models were given 4 3 3, and say the change themselves.
    """
    syllables, tones = word.syllables, word.tones
    if len(tones) == 2 and tones == [3, 3]:
        syllables[0].tone = 2
    elif len(tones) == 3:
        cut = _cut(word.text)
        if tones == [3, 3, 3]:
            syllables[1].tone = 2
            syllables[0].tone = 3 if cut == 1 else 2
        elif cut == 2 and tones[:2] == [3, 3] or cut == 1 and tones[:2] == [3, 3] and tones[2] != 3:
            syllables[0].tone = 2
        elif cut == 1 and tones[1:] == [3, 3]:
            syllables[1].tone = 2
    elif len(tones) == 4:
        for start in (0, 2):
            if tones[start : start + 2] == [3, 3]:
                syllables[start].tone = 2


def _cut(text: str) -> int:
    """Where a longer word is cut in two: 2 for 展览|馆, 1 for 纸|老虎."""
    import rjieba

    first = min(rjieba.cut_for_search(text), key=len)
    return len(first) if text.startswith(first) else len(text) - len(first)


CHILDREN = frozenset(
    "女儿 男儿 婴儿 幼儿 孤儿 患儿 少儿 胎儿 健儿 宠儿 侄儿 孙儿 妻儿 乞儿 弃儿 聋儿 早产儿 混血儿 流浪儿"
    " 新生儿 幼儿"
    " 婴幼儿 连体儿 我儿 有儿 一儿 花儿 鸟儿 鱼儿 马儿 猫儿 狗儿 虫儿 猪儿".split()
)


def _change_er(word: Word) -> None:
    """儿 as an ending takes the tone of the syllable before it; as "child" it is a syllable of its own."""
    text = word.text
    if len(text) < 2 or text[-1] != "儿" or text in CHILDREN or text[-2:] in CHILDREN:
        return
    if word.tag not in ("a", "j"):
        word.syllables[-1].tone = word.syllables[-2].tone


# --- pinyin to phones -------------------------------------------------------------------------------------

INITIALS = re.compile("zh|ch|sh|[bpmfdtnlgkhjqxrzcsyw]")
VOWEL_INITIALS = {"a": "AA", "e": "EE", "o": "OO"}


def initial_final(sound: str, tone: int) -> list[str]:
    """A syllable of pinyin (ü as v or u) as initial and final with tone, by the names of Opencpop."""
    sound = sound.replace("ü", "v")
    found = INITIALS.match(sound)
    if not found:
        initial, final = VOWEL_INITIALS.get(sound[:1], ""), sound
    else:
        initial, final = found.group(), sound[found.end() :]
    if initial in ("j", "q", "x", "y") and final.startswith("u"):
        final = "v" + final[1:]
    if initial == "y":
        final = {"an": "En", "e": "E"}.get(final, final)
    if final == "i" and initial in ("z", "c", "s"):
        final = "i0"
    elif final == "i" and initial in ("zh", "ch", "sh", "r"):
        final = "ir"
    if final == "ue":
        final = "ve"
    if not initial or final not in PINYIN_FINALS:
        return [UNKNOWN, UNKNOWN]
    return [initial, f"{final}{tone}"]
