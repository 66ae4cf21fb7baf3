"""Korean to jamo as they are said, by the rules of Standard Pronunciation (표준 발음법), without a
dictionary.

A syllable gives its onset (ㅇ where it has none), its vowel (diphthongs in two) and its closing consonant;
a space is a phone of its own. What hangs on grammar or origin alone (tense sounds within compounds) is known
only for the words listed here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipelines.engines.gpt_sovits.text.symbols import HANGUL_OTHER, HANGUL_SPACE, PUNCTUATION
from pipelines.engines.gpt_sovits.text.written import Speech, marks, put_in_words, value

ONSETS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
CODAS = ["", *"ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"]
HANGUL = "가-힣"

# --- numbers ----------------------------------------------------------------------------------------------

DIGITS = "영일이삼사오육칠팔구"
NATIVE_ONES = ["", "한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉"]
NATIVE_TENS = ["", "열", "스물", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔"]
MYRIADS = ("", "만", "억", "조", "경")


def cardinal(number: int) -> str:
    """12345 as 만 이천삼백사십오, written without the space."""
    if number == 0:
        return DIGITS[0]
    groups: list[int] = []
    while number:
        number, group = divmod(number, 10_000)
        groups.append(group)
    said = ""
    for place in reversed(range(len(groups))):
        if groups[place]:
            group = "" if groups[place] == 1 and place == 1 and not said else _thousands(groups[place])
            said += group + MYRIADS[place]
    return said


def _thousands(group: int) -> str:
    return "".join(
        ("" if digit == "1" and unit else DIGITS[int(digit)]) + unit
        for digit, unit in zip(f"{group:04d}", ("천", "백", "십", ""), strict=True)
        if digit != "0"
    )


def native(number: int) -> str:
    """Numbers before things that are counted, to 99: 20 is 스무, 21 스물한."""
    if number == 20:
        return "스무"
    return NATIVE_TENS[number // 10] + NATIVE_ONES[number % 10]


def digits(written: str) -> str:
    """Every digit by its name, as in telephone numbers (0 is 공)."""
    return "".join("공" if c == "0" else DIGITS[int(c)] for c in written if c.isdecimal())


def number(written: str) -> str:
    whole, point, fraction = written.partition(".")
    spelled = (len(whole) > 1 and whole[0] == "0") or len(whole) > 16
    said = digits(whole) if spelled else cardinal(int(whole))
    return said + (f"점{''.join(DIGITS[int(c)] for c in fraction)}" if point else "")


def _counted(match: re.Match[str]) -> str:
    many = int(value(match.group(1)))
    return native(many) if 0 < many < 100 else cardinal(many)


def _date(year: str | None, month: str, day: str) -> str:
    return (f"{cardinal(int(year))}년 " if year else "") + f"{_month(int(month))} {cardinal(int(day))}일"


def _month(month: int) -> str:
    return {6: "유월", 10: "시월"}.get(month, f"{cardinal(month)}월")


def _time(hour: int, minute: int, second: int | None) -> str:
    said = f"{native(hour) if 0 < hour < 13 else cardinal(hour)}시"
    said += f" {cardinal(minute)}분" if minute or second else ""
    return said + (f" {cardinal(second)}초" if second else "")


COUNTERS = (
    "개(?![월년국])|명|살|시(?!간당|대)|시간|마리|권|장|(?<!0)대|병|잔|그릇|켤레|벌|채|척|송이|그루|자루"
    "|다발|가지|군데|번(?!지|째)|번째|"
    "사람|달|곡|통|알|쌍|판|접시|조각|줄|모금|끼|발짝|걸음"
)
UNITS = {
    "km/h": "킬로미터 매시", "m/s": "미터 매초", "km²": "제곱킬로미터", "m²": "제곱미터",
    "km2": "제곱킬로미터",
    "m2": "제곱미터", "m³": "세제곱미터", "m3": "세제곱미터", "km": "킬로미터", "cm": "센티미터",
    "mm": "밀리미터",
    "nm": "나노미터", "m": "미터", "kg": "킬로그램", "mg": "밀리그램", "g": "그램", "t": "톤",
    "ml": "밀리리터",
    "mL": "밀리리터", "L": "리터", "l": "리터", "s": "초", "ms": "밀리초", "min": "분", "h": "시간",
    "°C": "도",
    "°F": "도", "°": "도", "Hz": "헤르츠", "kHz": "킬로헤르츠", "MHz": "메가헤르츠", "GHz": "기가헤르츠",
    "W": "와트", "kW": "킬로와트", "kWh": "킬로와트시", "V": "볼트", "dB": "데시벨", "GB": "기가바이트",
    "MB": "메가바이트", "KB": "킬로바이트", "TB": "테라바이트",
}  # fmt: skip
MONEY = {
    "$": "달러", "US$": "달러", "HK$": "홍콩달러", "€": "유로", "£": "파운드", "¥": "엔", "￥": "엔",
    "₩": "원",
    "USD": "달러", "EUR": "유로", "KRW": "원", "JPY": "엔", "CNY": "위안", "RMB": "위안",
}  # fmt: skip
SIGNS = {
    "+": " 더하기 ", "-": " 빼기 ", "×": " 곱하기 ", "*": " 곱하기 ", "÷": " 나누기 ", "=": "은 ",
    "<": " 작다 ",
    ">": " 크다 ", "≤": " 이하 ", "≥": " 이상 ", "≈": " 약 ", "±": " 플러스마이너스 ", "&": " 앤드 ",
    "@": " 골뱅이 ",
    "#": " 샵 ", "%": " 퍼센트 ", "①": " 일 ", "②": " 이 ", "③": " 삼 ", "④": " 사 ", "⑤": " 오 ",
    "π": " 파이 ",
    "α": " 알파 ", "β": " 베타 ", "Ω": " 옴 ",
}  # fmt: skip
SPEECH = Speech(
    number=number,
    digits=digits,
    date=_date,
    time=_time,
    percent=lambda said: f"{said}퍼센트",
    fraction=lambda upper, lower: f"{cardinal(int(lower))}분의 {cardinal(int(upper))}",
    money=MONEY,
    units=UNITS,
    signs=SIGNS,
    minus="마이너스 ",
    upto="에서 ",
    ratio=" 대 ",
    below_zero="영하 ",
    call=lambda written: ", ".join(digits(group) for group in re.findall(r"\d+", written)),
    own=(
        (r"(?<!\d)(6|10)월", lambda m: _month(int(m.group(1)))),
        (rf"(?<![\d.])(\d[\d,]*) ?(?={COUNTERS})", _counted),
    ),
)

# --- text -------------------------------------------------------------------------------------------------


def normalise(text: str) -> tuple[str, tuple[str, ...]]:
    """`text` as Hangul, single spaces and the marks ! ? … , . - , and notes."""
    text = put_in_words(text, SPEECH)
    kept, notes = marks(
        re.sub(r"\s+", " ", text), lambda c: c == " " or re.match(f"[{HANGUL}ㄱ-ㅣ]", c) is not None
    )
    return re.sub(r" +(?=[!?…,.\-])", "", re.sub(" {2,}", " ", kept)).strip(), notes


@dataclass
class Syllable:
    """Onset, vowel, coda in compatibility jamo; the coda may be empty. `spaced`: a space stands before it."""

    onset: str
    vowel: str
    coda: str
    spaced: bool = False


def phones(normal: str) -> list[str]:
    """Phones of what `normalise` gave."""
    said: list[str] = []
    for stretch in re.findall(rf"[{HANGUL} ]+|[^{HANGUL} ]", _listed(normal)):
        if re.match(f"[{HANGUL} ]", stretch):
            said += _stretch(stretch)
        elif stretch in PUNCTUATION:
            said.append(stretch)
        else:
            said += (
                [part for part in SPLIT.get(stretch, stretch)]
                if stretch in VOWELS + ONSETS
                else [HANGUL_OTHER]
            )
    return said


def _stretch(stretch: str) -> list[str]:
    said: list[str] = []
    for syllable in pronounced(stretch):
        if syllable.spaced:
            said.append(HANGUL_SPACE)
        said += [syllable.onset, *SPLIT.get(syllable.vowel, syllable.vowel), *syllable.coda]
    return said + [HANGUL_SPACE] * stretch.endswith(" ")


SPLIT = {
    "ㅘ": "ㅗㅏ", "ㅙ": "ㅗㅐ", "ㅚ": "ㅗㅣ", "ㅝ": "ㅜㅓ", "ㅞ": "ㅜㅔ", "ㅟ": "ㅜㅣ", "ㅢ": "ㅡㅣ",
    "ㅑ": "ㅣㅏ", "ㅒ": "ㅣㅐ",
    "ㅕ": "ㅣㅓ", "ㅖ": "ㅣㅔ", "ㅛ": "ㅣㅗ", "ㅠ": "ㅣㅜ", "ㄳ": "ㄱㅅ", "ㄵ": "ㄴㅈ", "ㄶ": "ㄴㅎ",
}  # fmt: skip

# Words said otherwise than the rules say: tense sounds in compounds and in words from Chinese, an added ㄴ.
WORDS = dict(
    pair.split("=")
    for pair in """갈등=갈뜽 발달=발딸 발전=발쩐 발생=발쌩 발동=발똥 절대=절때 결정=결쩡 결제=결쩨 결승=결씅
    일정=일쩡 일주일=일쭈일
    일시=일씨 출장=출짱 출신=출씬 출산=출싼 활동=활똥 실제=실쩨 실수=실쑤 실시=실씨 질서=질써 철저=철쩌
    철도=철또 물질=물찔
    물가=물까 물고기=물꼬기 글자=글짜 문법=문뻡 문자=문짜 한자=한짜 인기=인끼 사건=사껀 조건=조껀 여권=여꿘
    인권=인꿘 정권=정꿘
    주권=주꿘 헌법=헌뻡 불법=불뻡 맞춤법=맏춤뻡 성격=성껵 점수=점쑤 술집=술찝 빵집=빵찝 손가락=손까락
    발가락=발까락 손등=손뜽
    발바닥=발빠닥 손바닥=손빠닥 눈동자=눈똥자 길가=길까 강가=강까 밤길=밤낄 산길=산낄 물길=물낄 눈길=눈낄
    손길=손낄 줄넘기=줄럼끼
    아침밥=아침빱 비빔밥=비빔빱 김밥=김빱 보름달=보름딸 등불=등뿔 촛불=초뿔 바닷가=바다까 햇빛=해삗
    햇살=해쌀 냇가=내까
    나뭇가지=나무까지 깻잎=깬닙 나뭇잎=나문닙 꽃잎=꼰닙 한여름=한녀름 담요=담뇨 색연필=생년필 서울역=서울력
    알약=알략
    물약=물략 두통약=두통냑 식용유=시굥뉴 휘발유=휘발류 솜이불=솜니불 홑이불=혼니불 막일=망닐 할일=할릴
    늦여름=는녀름 맨입=맨닙
    눈요기=눈뇨기 영업용=영엄뇽 의견란=의견난 생산량=생산냥 결단력=결딴녁 공권력=공꿘녁 상견례=상견녜
    입원료=이붠뇨 음운론=으문논
    밟다=밥따 밟고=밥꼬 밟지=밥찌 밟는=밤는 넓죽=넙쭉 넓적=넙쩍 맛없=마덦 멋없=머덦 첫인상=처딘상
    값어치=가버치
    헛웃음=허두슴 디귿이=디그시 티읕이=티으시 히읗이=히으시""".split()
)  # fmt: skip
LISTED = re.compile("|".join(sorted(WORDS, key=len, reverse=True)))
# Stems in ㄴ and ㅁ make the ending tense (rule 24), with those endings that no noun begins with.
STEMS = re.compile(
    "(?<=[발말두화]을 |[발말두화]를 )(신)(고)|"
    "(?<![가-힣])(?:(신)(다)|(안|숨)([다고지])|(감|심|담|품)([다고])|(남|넘)([다고지습])|(참|더듬"
    "|다듬)([다지습]))(?![르른름])"
)


def _listed(text: str) -> str:
    text = LISTED.sub(lambda m: WORDS[m.group()], text)
    return STEMS.sub(lambda m: m.group()[:-1] + chr(ord(m.group()[-1]) + 588), text)  # 다 is 따, one onset on


# --- the rules ---------------------------------------------------------------------------------------------

TENSE = dict(zip("ㄱㄷㅂㅅㅈ", "ㄲㄸㅃㅆㅉ", strict=True))
ASPIRATED = dict(zip("ㄱㄷㅂㅈ", "ㅋㅌㅍㅊ", strict=True))
NASAL = {"ㄱ": "ㅇ", "ㄷ": "ㄴ", "ㅂ": "ㅁ"}
CLUSTERS = {
    "ㄳ": "ㄱㅅ", "ㄵ": "ㄴㅈ", "ㄶ": "ㄴㅎ", "ㄺ": "ㄹㄱ", "ㄻ": "ㄹㅁ", "ㄼ": "ㄹㅂ", "ㄽ": "ㄹㅅ",
    "ㄾ": "ㄹㅌ",
    "ㄿ": "ㄹㅍ", "ㅀ": "ㄹㅎ", "ㅄ": "ㅂㅅ",
}  # fmt: skip
CLOSED = {  # what a coda is before a consonant or at the end (rules 8 to 11)
    **dict.fromkeys("ㄱㄲㅋㄳㄺ", "ㄱ"), **dict.fromkeys("ㄷㅅㅆㅈㅊㅌㅎ", "ㄷ"),
    **dict.fromkeys("ㅂㅍㅄㄿ", "ㅂ"),
    **dict.fromkeys("ㄴㄵㄶ", "ㄴ"), **dict.fromkeys("ㄹㄼㄽㄾㅀ", "ㄹ"), **dict.fromkeys("ㅁㄻ", "ㅁ"),
    "ㅇ": "ㅇ",
}  # fmt: skip
VERBS_RG = frozenset("맑밝읽늙긁굵붉묽갉낡얽")  # stems in ㄺ: ㄹ before ㄱ
AFTER_RIEUL = re.compile(
    "것|거(?![가-힣])|거[야예다죠니]|걸(?![가-힣])|겁|게(?![가-힣])|듯|사람|생각|정도|자신|계획|예정|시간"
    "|장소|준비|가능성"
    "|(?:수|데|바|줄|지|적|곳|때|뿐|법)(?:[가이은는을를에도만의로]|밖에|에서|까지|부터|처럼|마다)?(?![가-힣])"
)
ENDINGS_RIEUL = re.compile(
    r"(게요?|걸요?|수록|지도|지는|지를|지라도|지언정|거야|거예요|거니까|거다|겁니다|까요?|세라)(?![가-힣])"
)


def pronounced(stretch: str) -> list[Syllable]:
    """Syllables of Hangul and spaces as they are said together."""
    syllables = _cut(stretch)
    for place, (here, after) in enumerate(zip(syllables, syllables[1:], strict=False)):
        _meet(here, after, stretch.replace(" ", "")[place])
    for here in syllables:
        here.coda = CLOSED.get(here.coda, "")
    _assimilate(syllables)
    return syllables


def _cut(stretch: str) -> list[Syllable]:
    """Syllables as written, save the vowels that are said otherwise: 희 is 히, 져 is 저 (rule 5)."""
    syllables: list[Syllable] = []
    spaced = False
    for place, character in enumerate(stretch):
        if character == " ":
            spaced = True
            continue
        index = ord(character) - ord("가")
        onset, vowel, coda = ONSETS[index // 588], VOWELS[index % 588 // 28], CODAS[index % 28]
        if vowel == "ㅢ" and onset != "ㅇ":
            vowel = "ㅣ"
        if vowel == "ㅕ" and onset in "ㅈㅉㅊ":
            vowel = "ㅓ"
        before = syllables[-1] if syllables else None
        if before and before.coda == "ㄹ" and onset in TENSE:  # rule 27, after -(으)ㄹ
            rest = stretch[place:]
            if (spaced and AFTER_RIEUL.match(rest)) or (not spaced and ENDINGS_RIEUL.match(rest)):
                onset = TENSE[onset]
        syllables.append(Syllable(onset, vowel, coda, spaced))
        spaced = False
    return syllables


def _meet(here: Syllable, after: Syllable, written: str) -> None:
    """What a coda and the next onset do to one another (rules 12 to 17, 23 to 25), before assimilation."""
    coda, onset = here.coda, after.onset
    first, last = (CLUSTERS[coda][0], CLUSTERS[coda][1]) if coda in CLUSTERS else ("", coda)
    if not coda or coda == "ㅇ":
        return
    if last == "ㅎ":
        if onset in ASPIRATED:
            here.coda, after.onset = first, ASPIRATED[onset]
        elif onset == "ㅅ":
            here.coda, after.onset = first, "ㅆ"
        elif onset == "ㅇ" and not after.spaced:
            here.coda, after.onset = ("", first) if first else ("", "ㅇ")
        elif onset == "ㄴ":
            here.coda = first or "ㄴ"
        return
    if onset == "ㅎ":
        _with_h(here, after, first, last)
    elif onset == "ㅇ":
        if not after.spaced:
            _link(here, after, first, last)
    elif onset in TENSE:
        if coda == "ㄺ" and onset == "ㄱ" and written in VERBS_RG:
            here.coda, after.onset = "ㄹ", "ㄲ"
        elif coda in "ㄵㄼㄾㄻ" and written not in "덟삶":
            after.onset = TENSE[onset]
        elif CLOSED[coda] in "ㄱㄷㅂ":
            after.onset = TENSE[onset]


def _with_h(here: Syllable, after: Syllable, first: str, last: str) -> None:
    """A stop and ㅎ are one aspirated sound: 입학 is 이팍, 닫혀 다처."""
    if last == "ㄷ" and after.vowel in "ㅣㅕ" and after.coda != "ㅇ" and not after.spaced:  # 닫혀, not 맏형
        here.coda, after.onset = first, "ㅊ"
        after.vowel = "ㅓ" if after.vowel == "ㅕ" else after.vowel
    elif last == "ㅈ" and not after.spaced:
        here.coda, after.onset = first, "ㅊ"
    elif CLOSED[here.coda] in NASAL or last in "ㄱㅂ":
        stop = last if last in "ㄱㅂ" and first == "ㄹ" else CLOSED[here.coda]
        here.coda, after.onset = first if first == "ㄹ" else "", ASPIRATED[stop]
    after.vowel = "ㅓ" if after.onset == "ㅊ" and after.vowel == "ㅕ" else after.vowel


def _link(here: Syllable, after: Syllable, first: str, last: str) -> None:
    """The coda, or the second of two, opens the next syllable: 옷이 is 오시, 같이 가치, 값이 갑씨."""
    if last in "ㄷㅌ" and after.vowel in "ㅣㅕ":
        last = "ㅈ" if last == "ㄷ" else "ㅊ"
        after.vowel = "ㅓ" if after.vowel == "ㅕ" else after.vowel
    here.coda = first
    after.onset = "ㅆ" if first and last == "ㅅ" else last


def _assimilate(syllables: list[Syllable]) -> None:
    """Nasals and ㄹ colour their neighbours (rules 18 to 20), across a space too."""
    for here, after in zip(syllables, syllables[1:], strict=False):
        particle = here.vowel == "ㅡ" and here.onset in "ㅇㄹ"  # 을, 를
        if here.coda in NASAL and after.onset == "ㄹ":
            here.coda, after.onset = NASAL[here.coda], "ㄴ"
        elif here.coda in NASAL and after.onset in "ㄴㅁ":
            here.coda = NASAL[here.coda]
        elif here.coda in "ㅁㅇ" and here.coda and after.onset == "ㄹ":
            after.onset = "ㄴ"
        elif here.coda == "ㄴ" and after.onset == "ㄹ":
            here.coda = "ㄹ"
        elif here.coda == "ㄹ" and after.onset == "ㄴ" and not (after.spaced and particle):
            after.onset = "ㄹ"
