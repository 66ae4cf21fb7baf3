"""Japanese to phones and pitch, by haqumei (Apache-2.0): Open JTalk's dictionary and rules.

Version 2 knows pitch: it rises at "[" and falls at "]"; the border of two accent phrases has no phone of its
own and is UNK, as in the training of the official models. Version 1 has sounds alone, and its own phones for
the vowels I and U without voice, which version 2 writes as i and u.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from pipelines.engines.gpt_sovits.text.chinese import HAN, digits, require
from pipelines.engines.gpt_sovits.text.symbols import FALL, PAUSE, PUNCTUATION, RISE, UNKNOWN, Version
from pipelines.engines.gpt_sovits.text.written import Speech, marks, put_in_words

if TYPE_CHECKING:
    from haqumei import Label, OpenJTalk

LIBRARIES = {"haqumei": "haqumei"}
KANA = "\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
READ = re.compile(f"[{KANA}{HAN}々〆ヵヶ0-9 ]")


def number(written: str) -> str:
    """Digits, which Open JTalk reads; what is after the point in figures of their own."""
    whole, point, fraction = written.partition(".")
    return whole + (f"点{digits(fraction)}" if point else "")


NAMES = dict(zip("0123456789", "ゼロ イチ ニー サン ヨン ゴー ロク ナナ ハチ キュー".split(), strict=True))
UNITS = {
    "km/h": "キロメートル毎時", "m/s": "メートル毎秒", "km²": "平方キロメートル", "m²": "平方メートル",
    "km2": "平方キロメートル", "m2": "平方メートル", "m³": "立方メートル", "m3": "立方メートル",
    "km": "キロメートル",
    "cm": "センチメートル", "mm": "ミリメートル", "nm": "ナノメートル", "m": "メートル", "kg": "キログラム",
    "mg": "ミリグラム", "g": "グラム", "t": "トン", "ml": "ミリリットル", "mL": "ミリリットル",
    "L": "リットル",
    "l": "リットル", "s": "秒", "ms": "ミリ秒", "min": "分", "h": "時間", "°C": "度", "°F": "華氏", "°": "度",
    "Hz": "ヘルツ", "kHz": "キロヘルツ", "MHz": "メガヘルツ", "GHz": "ギガヘルツ", "W": "ワット",
    "kW": "キロワット",
    "kWh": "キロワット時", "V": "ボルト", "dB": "デシベル", "GB": "ギガバイト", "MB": "メガバイト",
    "KB": "キロバイト", "TB": "テラバイト",
}  # fmt: skip
MONEY = {
    "$": "ドル", "US$": "ドル", "HK$": "香港ドル", "€": "ユーロ", "£": "ポンド", "¥": "円", "￥": "円",
    "₩": "ウォン",
    "USD": "ドル", "EUR": "ユーロ", "JPY": "円", "CNY": "元", "RMB": "元",
}  # fmt: skip
SIGNS = {
    "+": "プラス", "-": "引く", "×": "かける", "*": "かける", "÷": "割る", "=": "イコール", "<": "小なり",
    ">": "大なり", "≤": "以下", "≥": "以上", "≠": "ノットイコール", "≈": "約", "±": "プラスマイナス",
    "&": "アンド",
    "@": "アットマーク", "#": "シャープ", "%": "パーセント", "①": "1", "②": "2", "③": "3", "④": "4", "⑤": "5",
    "π": "パイ", "α": "アルファ", "β": "ベータ", "Ω": "オーム", "♪": "、", "☆": "、", "★": "、",
}  # fmt: skip
SPEECH = Speech(
    number=number,
    digits=lambda written: "".join(NAMES.get(c, "") for c in written),
    date=lambda year, month, day: (f"{int(year)}年" if year else "") + f"{int(month)}月{int(day)}日",
    time=lambda hour, minute, second: f"{hour}時" + (f"{minute}分" if minute or second else "") + (
        f"{second}秒" if second else ""),
    percent=lambda said: f"{said}パーセント",
    fraction=lambda upper, lower: f"{lower}分の{upper}",
    money=MONEY,
    units=UNITS,
    signs=SIGNS,
    minus="マイナス",
    upto="から",
    ratio="対",
    phone=r"(?<!\d)(?:\+81[- ]?)?0?\d{1,4}-\d{2,4}-\d{3,4}(?!\d)|(?<!\d)0[789]0\d{8}(?!\d)",
    call=lambda written: "、".join(
        "".join(NAMES[c] for c in group) for group in re.findall(r"\d+", written.replace("+81", "0"))),
)  # fmt: skip


def normalise(text: str) -> tuple[str, tuple[str, ...]]:
    """`text` as kana, Han characters, digits, spaces and the marks ! ? … , . - , and notes."""
    require("Japanese", LIBRARIES)
    text = re.sub("[\uff66-\uff9f]+", lambda m: unicodedata.normalize("NFKC", m.group()), text)
    text = re.sub(rf"(?<=[{KANA}])[〜～~]+", "ー", text)  # a wave after kana lengthens it
    return marks(put_in_words(text, SPEECH), lambda character: READ.match(character) is not None)


@cache
def _reader() -> OpenJTalk:
    from haqumei import OpenJTalk

    return OpenJTalk()


def phones(normal: str, version: Version, strict: bool = False) -> tuple[list[str], tuple[str, ...]]:
    """Phones of what `normalise` gave, and notes on characters without a reading.

    `strict` gives version 1 the marks of pitch that it does not have, as upstream does today: all are UNK.
    """
    said: list[str] = []
    unread: list[str] = []
    for stretch in re.findall(rf"[{re.escape(PUNCTUATION)}]|[^{re.escape(PUNCTUATION)} ]+", normal):
        if stretch in PUNCTUATION:
            said.append(stretch)
            continue
        labels = [label for label in _reader().extract_fullcontext(stretch) if label.phoneme.c != "sil"]
        said += with_pitch(labels) if version != "v1" or strict else sounds(labels)
        unread += [word.word for word in _reader().g2p_mapping(stretch) if word.is_unknown]
    notes = (f"No Japanese reading is known for: {' '.join(unread)}",) if unread else ()
    return said, notes


def sounds(labels: list[Label]) -> list[str]:
    """The phones alone; I and U are vowels without voice."""
    return ["," if label.phoneme.c == "pau" else label.phoneme.c for label in labels]


def with_pitch(labels: list[Label]) -> list[str]:
    """Phones with the marks of pitch (Kurihara, Seiyama, Kumano 2021, doi 10.1587/transinf.2020EDP7104)."""
    said: list[str] = []
    for label, after in pairwise([*labels, None]):
        phone, mora = label.phoneme.c, label.mora
        if phone == "pau" or mora is None:
            said.append(PAUSE)
            continue
        said.append(phone.lower() if phone in "AEIOU" else phone)
        next_place = after.mora.position_forward if after is not None and after.mora else None
        place = mora.position_forward
        ends = mora.position_backward == 1
        if ends and next_place == 1 and (phone in "aeiouAEIOUN" or phone == "cl"):
            said.append(UNKNOWN)
        elif mora.relative_accent_position == 0 and next_place == place + 1 and not ends:
            said.append(FALL)
        elif place == 1 and next_place == 2:
            said.append(RISE)
    return said
