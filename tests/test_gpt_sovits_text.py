"""What GPT-SoVITS is given to say: official phone ids, and the truths of five languages."""

from __future__ import annotations

import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import pytest

from bench import reading
from pipelines.engines.gpt_sovits import text as front
from pipelines.engines.gpt_sovits.text import cantonese, chinese, detect, english, japanese, korean, symbols
from pipelines.types import InputError

LIBRARIES = {"zh": chinese.LIBRARIES, "yue": cantonese.LIBRARIES, "ja": japanese.LIBRARIES}


def need(*languages: str) -> None:
    """Skip where the libraries of a language are not installed."""
    for language in languages:
        absent = [
            package for module, package in LIBRARIES.get(language, {}).items() if find_spec(module) is None
        ]
        if absent:
            pytest.skip(f"reading {front.NAMES[language]} needs {', '.join(absent)}")


def said(text: str, language: str, version: symbols.Version = "v2", strict: bool = False) -> str:
    """Phones with spaces between."""
    need(language)
    stretches = front.read(text, language, version, strict).stretches
    return " ".join(phone for stretch in stretches for phone in stretch.phones)


def written(text: str, language: str) -> str:
    """What of a text is said, before it becomes phones."""
    need(language)
    return "".join(stretch.text for stretch in front.read(text, language).stretches)


# --- the tables -------------------------------------------------------------------------------------------


def test_the_tables_are_the_official_ones() -> None:
    first, second = (list(symbols.table(version)) for version in ("v1", "v2"))
    assert (len(first), len(second)) == (322, 732)
    assert second[:322] == first
    # Of the official table of version 2, its phones joined by newlines.
    digest = "0771f6cd6f6201e8c2b0de921dc69cc04caf3f346c599d4a41413967d5674da7"
    assert hashlib.sha256("\n".join(second).encode()).hexdigest() == digest


@pytest.mark.parametrize(
    ("phone", "place"),
    [("!", 0), (",", 1), ("-", 2), (".", 3), ("?", 4), ("AA", 5), ("AA0", 6), ("SP", 77), ("SP2", 78),
     ("SP3", 79), ("UNK", 86), ("_", 95), ("…", 321), ("[", 322), ("]", 323)],
)  # fmt: skip
def test_known_phones_have_their_known_ids(phone: str, place: int) -> None:
    assert symbols.table("v2")[phone] == place


def test_a_phone_that_a_version_lacks_is_unknown() -> None:
    assert symbols.ids(["[", "ㄱ", "Yaa", "zh"], "v1") == [86, 86, 86, symbols.table("v1")["zh"]]


def test_ids_are_those_of_the_phones() -> None:
    spoken = front.read("Hello there, old friend!", "en")
    phones = [phone for stretch in spoken.stretches for phone in stretch.phones]
    assert spoken.phones.tolist() == [symbols.table("v2")[phone] for phone in phones]
    assert str(spoken.phones.dtype) == "torch.int64"


# --- English ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("Hello, world! Good day.", "HH AH0 L OW1 , W ER1 L D ! G UH1 D D EY1 ."),
        ("The FBI's GPUs and NASA", "DH AH0 EH1 F B IY1 AY1 Z JH IY1 P IY1 Y UW1 Z AH0 N D N AE1 S AH0 ."),
        ("I don't know; you do.", "AY1 D OW1 N T N OW1 , Y UW1 D UW1 ."),
        (
            "Plan A, maybe (or B) costs $5.",
            "P L AE1 N EY1 , M EY1 B IY0 , AO1 R B IY1 K AA1 S T S F AY1 V D AA1 L ER0 Z .",
        ),
        ("A well-known naïve man", "AH0 W EH1 L N OW1 N N AY2 IY1 V M AE1 N ."),
        ("OpenAI's ChatGPT works", "OW1 P AH0 N EY1 AY1 Z CH AE1 T JH IY1 P IY1 T IY1 W ER1 K S ."),
        ("Wait… then go on.", "W EY1 T . DH EH1 N G OW1 AA1 N ."),
    ],
)
def test_english_is_read_as_arpabet(text: str, phones: str) -> None:
    assert said(text, "en") == phones


def test_a_homograph_is_read_by_its_part_of_speech() -> None:
    assert "L IH1 V" in said("They live here.", "en") and "L AY1 V" in said("It was a live show.", "en")
    assert "W IH1 N D" in said("The wind was cold.", "en") and "W AY1 N D" in said(
        "Go to wind the clock.", "en"
    )
    assert "T IH1 R Z" in said("She was in tears.", "en") and "T EH1 R" in said("Do not tear it.", "en")
    assert "R IY1 D" in said("I will read the book.", "en")
    assert "R EH1 D" in said("He has read the book.", "en")
    assert said("They object to it now.", "en") != said("The object is on it.", "en")
    assert "AH0 B JH EH1 K T" in said("I object to that plan.", "en")


def test_words_that_no_dictionary_has_are_read_from_their_parts_and_by_the_net() -> None:
    assert english.pronounce("scrawlings") == "S K R AO1 L IH0 NG Z".split()
    assert english.predict("zorblatt")[0] == "Z"
    assert english.pronounce("xkcd") == english.spelled("xkcd")
    assert english.pronounce("zorblatt's")[-1] == "S"


def test_the_net_reads_most_words_as_the_dictionary_does() -> None:
    entries = english.readings()
    words = random.Random(0).sample(sorted(word for word in entries if word.isalpha() and len(word) > 2), 60)
    right = sum(" ".join(english.predict(word)) in entries[word] for word in words)
    assert right > 0.55 * len(words)  # 68 % of 2,000


def test_the_bench_of_reading_gives_back_what_it_took() -> None:
    before = dict(english.readings())
    assert 0.4 < reading.measure(30, seed=1)["as read"][0] <= 1
    assert english.readings() == before


def test_strict_loses_what_upstream_loses() -> None:
    assert "," not in said("I don't know; you do: go.", "en", strict=True).split()
    assert "N EY1 EH1 S EY1" in said("This is NASA again.", "en", strict=True)
    assert said("The dog sat on the mat.", "en", strict=True) == said("The dog sat on the mat.", "en")
    assert said("Ok", "en", strict=True).startswith(".") or said("Ok", "en", strict=True).startswith(",")


# --- Mandarin ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "phones", "truth"),
    [
        ("你好。", ". n i2 h ao3 .", "two third tones: the first becomes a second"),
        ("展览馆", "zh an2 l an2 g uan3 .", "two and one: 2 2 3"),
        ("纸老虎", "zh ir3 l ao2 h u3 .", "one and two: 3 2 3"),
        ("所有人", "s uo2 y ou3 r en2 .", "within its first two"),
        ("不怕我", "b u2 p a4 w o3 .", "不 before a fourth tone is a second"),
        ("听不懂", "t ing1 b u5 d ong3 .", "不 within a verb has no tone"),
        ("不能去", "b u4 n eng2 q v4 .", "不 before others keeps its own"),
        ("一天天", "y i4 t ian1 t ian1 .", "一 before a first tone is a fourth"),
        ("一样的", "y i2 y ang4 d e5 .", "一 before a fourth is a second"),
        ("一个人", "y i2 g e5 r en2 .", "and before 个, a fourth that has lost its tone"),
        ("看一看", "k an4 y i5 k an4 .", "一 between a verb and itself has no tone"),
        ("第一名", "d i4 y i1 m ing2 .", "一 as an ordinal keeps its tone"),
        ("二十一", "EE er4 sh ir2 y i1 .", "and within numbers"),
        ("我妈妈", "w o3 m a1 m a5 .", "the second half of a doubling has no tone"),
        ("好朋友", "h ao3 p eng2 y ou5 .", "nor the second half of words of custom"),
        ("孩子们", "h ai2 z i05 m en5 .", "nor the suffixes 子 and 们"),
        ("原子弹", "y van2 z i03 d an4 .", "but 子 that means something has"),
        ("走了吗", "z ou3 l e5 m a5 .", "nor particles"),
        ("银行长", "y in2 h ang2 zh ang3 .", "行 in a bank, 长 of a head"),
        ("还给他", "h uan2 g ei3 t a1 .", "还 that gives back"),
        ("还没有", "h ai2 m ei2 y ou3 .", "还 that is still so"),
        ("跑得快", "p ao3 d e5 k uai4 .", "得 after a verb"),
        ("得走了", "d ei2 z ou3 l e5 .", "得 that must, before a third tone"),
        ("把地扫", "b a3 d i4 s ao3 .", "地 that is ground"),
        ("种了花", "zh ong4 l e5 h ua1 .", "种 that plants"),
        ("圆圈儿", "y van2 q van1 EE er1 .", "儿 as an ending sounds with what is before it"),
        ("女儿花", "n v3 EE er2 h ua1 .", "儿 as a child does not"),
        ("吃、思", "ch ir1 , s i01 .", "the three sounds of i: ir after ch, i0 after s"),
        ("鱼,元月", "y v2 , y van2 y ve4 .", "u after y is ü"),
        ("烟夜", ". y En1 y E4 .", "Opencpop's own names of yan and ye"),
        ("爱饿藕", "AA ai4 EE e4 OO ou3 .", "initials for syllables without one"),
    ],
)
def test_mandarin_changes_its_tones(text: str, phones: str, truth: str) -> None:
    assert said(text, "zh").removeprefix(". ") == phones.removeprefix(". "), truth


def test_every_han_character_has_two_phones_and_every_mark_one() -> None:
    need("zh", "yue")
    for language in ("zh", "yue"):
        for stretch in front.read("好，今天2024年5月1日，很热！走吧。", language).stretches:
            assert len(stretch.word2ph) == len(stretch.text)
            assert sum(stretch.word2ph) == len(stretch.phones)
            assert set(stretch.word2ph) == {1, 2}


def test_traditional_characters_are_read_as_simplified_ones() -> None:
    assert said("電腦與網絡很發達", "zh") == said("电脑与网络很发达", "zh")
    assert written("電腦與網絡", "zh") == "电脑与网络."


def test_version_1_knows_no_ending_儿() -> None:
    need("zh")
    assert said("圆圈儿", "zh", "v1").split()[-2] == "er2"


@pytest.mark.parametrize("sound", ["a", "ang", "e", "er", "o", "zhi", "ci", "ri", "ju", "lve", "nv", "yan",
"wen",
                                   "yong", "shuang", "qiong", "yuan", "xue", "you", "wu"])  # fmt: skip
def test_syllables_of_pinyin_are_phones(sound: str) -> None:
    assert set(chinese.initial_final(sound, 3)) <= set(symbols.table("v1")) - {"UNK"}


# --- Cantonese --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "phones", "truth"),
    [
        ("廣東話", "Ygw Yong2 Yd Yung1 Yw Yaa2 .", "gw is one onset; 話 changes its tone here"),
        ("佢哋", ". Yk Yeoi5 Yd Yei6 .", "low rising and low level"),
        ("我五", ". Yng Yo5 Yng Yg5 .", "ng is an onset, or a syllable whose end is said again"),
        ("唔該", ". Ym Ym4 Yg Yoi1 .", "so is m"),
        ("屋愛啊", "Yuk Yk1 Yoi Yi3 Yaa Ya3 .", "syllables without an onset are cut within"),
        ("詩史試時市事", "Ys Yi1 Ys Yi2 Ys Yi3 Ys Yi4 Ys Yi5 Ys Yi6 .", "six tones"),
        ("食飯", ". Ys Yik6 Yf Yaan6 .", "a stop in the end"),
    ],
)
def test_cantonese_is_onset_and_rime_with_tone(text: str, phones: str, truth: str) -> None:
    assert said(text, "yue").removeprefix(". ") == phones.removeprefix(". "), truth


def test_what_is_written_in_cantonese_is_found() -> None:
    assert detect.split("佢哋食咗飯。他们吃了饭。", "auto") == [
        ("yue", "佢哋食咗飯。"),
        ("zh", "他们吃了饭。"),
    ]
    assert detect.split("佢哋食咗飯。", "auto", cantonese=False) == [("zh", "佢哋食咗飯。")]


# --- Japanese ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "phones", "truth"),
    [
        ("こんにちは。", "k o [ N n i ch i w a .", "は at the end is wa; flat: rises and does not fall"),
        ("箸を持つ。", "h a ] sh i o UNK m o ] ts u .", "chopsticks fall after the first mora"),
        ("橋を渡る。", "h a [ sh i ] o UNK w a [ t a r u .", "a bridge falls after the second"),
        ("学校です。", "g a [ cl k o o d e ] s u .", "a doubled consonant, a long vowel"),
        ("お父さん", "o [ t o ] o s a N .", "ou is long o"),
        ("先生とコーヒー", "s e [ N s e ] e t o UNK k o [ o h i ] i .", "ei is long e, ー lengthens"),
    ],
)
def test_japanese_has_sounds_and_pitch(text: str, phones: str, truth: str) -> None:
    assert said(text, "ja") == phones, truth


def test_version_1_has_vowels_without_voice_and_no_pitch() -> None:
    assert said("すきです。", "ja", "v1") == "s U k i d e s U ."
    assert said("すきです。", "ja") == "s u [ k i d e ] s u ."
    assert symbols.table("v1")["UNK"] in front.read("橋を渡る。", "ja", "v1", strict=True).phones.tolist()
    assert symbols.table("v1")["UNK"] not in front.read("橋を渡る。", "ja", "v1").phones.tolist()


def test_a_space_ends_a_word_and_has_no_sound() -> None:
    assert said("こんにちは 世界", "ja").startswith("k o [ N n i ch i w a s e ] k a i")


# --- Korean -----------------------------------------------------------------------------------------------

PRONOUNCED = """국물=궁물 독립=동닙 신라=실라 칼날=칼랄 닫는=단는 옷이=오시 같이=가치 굳이=구지
해돋이=해도지 닫혀=다처 닫혔다=다첟따
입학=이팍 놓고=노코 많다=만타 많아=마나 싫어=시러 좋은=조은 않는=안는 뚫는=뚤른 값이=갑씨 넋이=넉씨
닭을=달글 닭과=닥꽈 맑게=말께
읽고=일꼬 넓다=널따 앉다=안따 닮고=담꼬 핥다=할따 없다=업따 없어=업써 꽃=꼳 부엌=부억 앞=압 밖=박 있다=읻따
있어=이써 먹는=멍는
밥물=밤물 강릉=강능 담력=담녁 대통령=대통녕 막론=망논 협력=혐녁 의사=의사 희망=히망 가져=가저 할게=할께
맏형=마텽 꽂히다=꼬치다
낳다=나타 쌓네=싼네 여덟=여덜 여덟도=여덜도 삶=삼 훑이다=훌치다 밭이=바치 붙여=부처 읊다=읍따 밟는=밤는
꽃잎=꼰닙 갈등=갈뜽
묻혀=무처 좋습니다=조씀니다 감사합니다=감사함니다 앓아=아라 끓이다=끄리다 국밥=국빱 옷고름=옫꼬름
밝히다=발키다 앉히다=안치다
난로=날로 물난리=물랄리 안고=안꼬 신다=신따 남다르다=남다르다 맛없다=마덥따 맛없어요=마덥써요 독서=독써"""


@pytest.mark.parametrize("pair", PRONOUNCED.split())
def test_korean_follows_standard_pronunciation(pair: str) -> None:
    written_, pronounced = pair.split("=")
    heard = "".join(
        chr(
            ord("가")
            + korean.ONSETS.index(one.onset) * 588
            + korean.VOWELS.index(one.vowel) * 28
            + korean.CODAS.index(one.coda)
        )
        for one in korean.pronounced(korean._listed(written_))
    )
    assert heard == pronounced


@pytest.mark.parametrize(
    ("text", "phones", "truth"),
    [
        ("안녕하세요", "ㅇㅏㄴㄴㅣㅓㅇㅎㅏㅅㅔㅇㅣㅗ.",
        "ㅕ and ㅛ are two phones; ㅇ stands before a bare vowel"),
        ("할 수 있는 것을", "ㅎㅏㄹ空ㅆㅜ空ㅇㅣㄴㄴㅡㄴ空ㄱㅓㅅㅡㄹ.",
        "after -(으)ㄹ the next is tense, across a space"),
        ("옷 한 벌", "ㅇㅗ空ㅌㅏㄴ空ㅂㅓㄹ.", "a stop and ㅎ are one, across a space"),
        ("책 넣는다", "ㅊㅐㅇ空ㄴㅓㄴㄴㅡㄴㄷㅏ.", "nasals colour what is before them, across a space"),
        ("네, 좋아요!", "ㄴㅔ,空ㅈㅗㅇㅏㅇㅣㅗ!", "a mark and a space are two phones"),
    ],
)  # fmt: skip
def test_korean_words_are_said_together(text: str, phones: str, truth: str) -> None:
    assert said(text, "ko").replace(" ", "") == phones, truth


# --- figures and signs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("zh", "2024年5月1日", "二零二四年五月一日."),
        ("zh", "2024-05-01 10:05", "二零二四年五月一日十点零五分."),
        ("zh", "-3℃", "零下三摄氏度."),
        ("zh", "增长12.5%", "增长百分之十二点五."),
        ("zh", "3/4和2个", "四分之三和两个."),
        ("zh", "¥1,200.50", "一千二百点五元."),
        ("zh", "$20万", "二十万美元."),
        ("zh", "跑5km", "跑五公里."),
        ("zh", "3-5个", "三到五个."),
        ("zh", "比分3:2", "比分三比二."),
        ("zh", "3+2=5", "三加二等于五."),
        ("zh", "电话13812345678", "电话幺三八幺二三四五六七八."),
        ("zh", "10003、110、20000", "一万零三,一百一十,二万."),
        ("zh", "2010-2015年", "二零一零到二零一五年."),
        ("yue", "2個人$20", "兩個人二十蚊."),
        ("yue", "下晝3:30", "下晝三點半."),
        ("ja", "¥1,234円", "1234円."),
        ("ja", "10:30に50%", "10時30分に50パーセント."),
        ("ja", "高さは3.5m", "高さは3点五メートル."),
        ("ja", "2024/5/1", "2024年5月1日."),
        ("ja", "03-1234-5678です", "ゼロサン,イチニーサンヨン,ゴーロクナナハチです."),
        ("ko", "사과 3개와 20살", "사과 세개와 스무살."),
        ("ko", "6월 10일 10:30", "유월 십일 열시 삼십분."),
        ("ko", "₩12,000원", "만이천원."),
        ("ko", "기온은 -3°C", "기온은 영하 삼도."),
        ("ko", "12.5%와 1/2", "십이점오퍼센트와 이분의 일."),
        ("ko", "010-1234-5678로", "공일공, 일이삼사, 오육칠팔로."),
        ("ko", "3개월 100명", "삼개월 백명."),
    ],
)  # fmt: skip
def test_figures_are_put_in_words(language: str, text: str, words: str) -> None:
    assert written(text, language) == words


def test_numbers_of_all_sizes_have_words() -> None:
    assert chinese.cardinal(100_000_001) == "一亿零一"
    assert chinese.cardinal(1_020_000) == "一百零二万"
    assert korean.cardinal(123_456_789) == "일억이천삼백사십오만육천칠백팔십구"
    assert korean.cardinal(10_000) == "만" and korean.native(99) == "아흔아홉"
    for value in random.Random(0).sample(range(10**15), 300):
        assert set(chinese.cardinal(value)) <= set("零一二三四五六七八九十百千万亿")


# --- mixed text -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "text", "parts"),
    [
        ("auto", "MyGO，你也喜欢まいご吗？", "en:MyGO， zh:你也喜欢 ja:まいご zh:吗？"),
        ("auto", "最近、僕は天文学を勉強してる。", "ja:最近、僕は天文学を勉強してる。"),
        ("auto", "今日は3時に。明天见！안녕", "ja:今日は3時に。 zh:明天见！ ko:안녕"),
        ("auto", "気分", "ja:気分"),
        ("auto", "东京大学", "zh:东京大学"),
        ("zh", "用T60和GPT-4，跑5km。", "zh:用 en:T60 zh:和 en:GPT-4， zh:跑5km。"),
        ("zh", "iPhone 15发布", "en:iPhone\xa0 zh:15发布"),
        ("zh", "邮箱joe.s@x.com。", "zh:邮箱 en:joe.s@x.com。"),
        ("ja", "東京大学", "ja:東京大学"),
        ("yue", "你好吗", "yue:你好吗"),
        ("en", "the 3 books", "en:the\xa03\xa0books"),
        ("en", "5 + 3", "en:5\xa0+\xa03"),
        ("ko", "5 + 3", "ko:5\xa0+\xa03"),
        ("en", "x² is 4 µm or π", "en:x²\xa0is\xa04\xa0µm\xa0or\xa0π"),
        ("auto", "«Привет» friend", "en:« other:Привет en:»\xa0friend"),
    ],
)
def test_text_is_cut_by_language(language: str, text: str, parts: str) -> None:
    expected = [tuple(part.replace("\xa0", " ").split(":", 1)) for part in parts.split(" ")]
    assert detect.split(text, language) == expected


def test_a_mixed_sentence_is_its_parts_in_order() -> None:
    need("zh", "ja")
    spoken = front.read("我用iPhone，听まいご。", "zh")
    assert [stretch.language for stretch in spoken.stretches] == ["zh", "en", "zh", "ja"]
    assert len(spoken.phones) == sum(len(stretch.phones) for stretch in spoken.stretches)
    assert spoken.stretches[1].phones[-1] == ","


# --- what cannot be said ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "  \n", "...", "?!", "“”", "Привет"])
@pytest.mark.parametrize("language", ["en", "auto", "ko"])
def test_nothing_to_say_is_refused_in_words(text: str, language: str) -> None:
    with pytest.raises(InputError, match="nothing in the text"):
        front.read(text, language)


def test_what_is_left_out_is_told() -> None:
    assert "Cyrillic" in " ".join(front.read("Hello мир", "en").notes)
    need("zh")
    assert "★" in " ".join(front.read("你好★世界", "zh").notes)
    assert "㗎" in " ".join(front.read("你好㗎", "zh").notes)
    assert front.read("“你好”（世界）", "zh").notes == ()


def test_a_language_that_there_is_not_is_refused() -> None:
    with pytest.raises(InputError, match="no language 'fr'"):
        front.read("Bonjour", "fr")
    with pytest.raises(InputError, match="v1 cannot read Korean"):
        front.read("안녕하세요", "ko", "v1")


@pytest.mark.parametrize(("language", "text"), [("zh", "你好"), ("yue", "你好"), ("ja", "こんにちは")])
def test_a_missing_library_is_named_with_its_installation(
    monkeypatch: pytest.MonkeyPatch, language: str, text: str
) -> None:
    monkeypatch.setattr(chinese, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=f"To read {front.NAMES[language]}, install .*: pip install "):
        front.read(text, language)


def test_english_needs_no_library_of_another_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chinese, "find_spec", lambda name: None)
    assert front.read("Hello there, friend.", "en").stretches
    assert front.read("안녕하세요", "ko").stretches


@pytest.mark.parametrize(("language", "text"), [("en", "Hi"), ("zh", "好"), ("ko", "네"), ("ja", "え")])
def test_what_is_very_short_begins_with_a_stop(language: str, text: str) -> None:
    phones = said(text, language).split()
    assert phones[0] == "." and phones[-1] == "."


def test_whatever_is_written_the_ids_are_in_the_table() -> None:
    need("zh", "yue", "ja")
    chance = random.Random(5)
    alphabet = (
        "abcXYZ"
        " 0123456789.,:;!?-+%$€¥/~()“”'&@#*=<>\n"
        "你好世界一不儿得长気東京まいごカタカナー佢哋咗안녕할수값옳ㅋéß½²🎉👍мир٣"
        "，。！？、…—～「」（）《》%￥々〇㗎𠮷\u200b\u0301"
    )
    for _ in range(400):
        text = "".join(chance.choices(alphabet, k=chance.randrange(1, 40)))
        language = chance.choice(front.LANGUAGES)
        try:
            spoken = front.read(text, language)
        except InputError:
            continue
        assert 0 <= min(spoken.phones.tolist()) and max(spoken.phones.tolist()) < 732
        for stretch in spoken.stretches:
            if stretch.word2ph is not None:
                assert len(stretch.word2ph) == len(stretch.text)
                assert sum(stretch.word2ph) == len(stretch.phones)


def test_two_threads_read_as_one() -> None:
    need("zh", "ja")
    texts = [(f"今天是{n}月，Zyxquill {n}！", "zh") for n in range(1, 13)]
    texts += [(f"今日は{n}月です。", "ja") for n in range(1, 13)] + [
        (f"오늘은 {n}월입니다.", "ko") for n in range(1, 13)
    ]
    alone = [front.read(*each).phones.tolist() for each in texts]
    with ThreadPoolExecutor(4) as pool:
        together = [spoken.phones.tolist() for spoken in pool.map(lambda each: front.read(*each), texts)]
    assert together == alone
