"""Splitting is the same for every engine; reading is the embedded engine's English."""

from __future__ import annotations

import random
import string
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from pipelines.engines.small import text as english
from pipelines.english import cardinal, ordinal
from pipelines.text import LONGEST, PARAGRAPH, Pause, Sentence, cut, sayable, split, subtitles, weight
from pipelines.types import InputError, Span


def sentences(text: str, **limits: int) -> list[str]:
    return [part.text for part in split(text, **limits) if isinstance(part, Sentence)]


def visible(text: str) -> str:
    return "".join(text.split())


# --- splitting --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sentence",
    [
        "Yesterday Dr. Smith met Mr. J. R. Jones of Acme Inc. in London.",
        "We saw birds, e.g. three robins, i.e. the usual ones, etc. near the house.",
        "He moved to the U.S. Army base near Washington, D.C. last year.",
        "The train leaves at 5 p.m. on Monday from platform No. 5 as always.",
        "Version 1.2.3 costs 3.50 and pi is about 3.14 as you know.",
        "See https://example.com/a.b?c=d or write to a.b@example.co.uk today.",
        "St. Paul's is bigger than Mt. Vernon and older than Ft. Worth.",
        '"Are you really coming?" he asked her quietly.',
        "He hesitated... and then he jumped into the water.",
        "It happened on Jan. 5 and again on Sept. 12 of that year.",
    ],
)
def test_abbreviations_do_not_end_a_sentence(sentence: str) -> None:
    assert sentences(sentence) == [sentence]


def test_sentences_end_where_they_end() -> None:
    first, second = "He said that he lives in the U.S.", "It was a very long time ago."
    assert sentences(f"{first} {second}") == [first, second]
    assert (
        sentences('She shouted "Stop it right now!" Then she left the room.')[1] == "Then she left the room."
    )
    assert sentences("That was really great fun! 🎉 Let us do it again soon.")[0].endswith("🎉")
    assert sentences("no. i will certainly not go there. it is far too late for that.") == [
        "no. i will certainly not go there.",
        "it is far too late for that.",
    ]


def test_wide_stops_need_no_space() -> None:
    assert len(sentences("今天天气很好，我们一起去公园里散步吧。" * 2)) == 2
    assert visible("".join(sentences("你好。再见！"))) == "你好。再见！"


def test_a_short_sentence_goes_with_its_neighbour() -> None:
    assert sentences("Hi. I have been waiting here for you all day.") == [
        "Hi. I have been waiting here for you all day."
    ]
    assert sentences("I have been waiting here for you all day. Hi.")[-1].endswith("day. Hi.")
    assert sentences("Hi.") == ["Hi."]


def test_a_blank_line_is_a_pause_and_a_margin_is_not() -> None:
    wrapped = "This line was broken by a margin of about fifty\ncharacters and goes on here."
    assert split(f"{wrapped}\n\n\nSecond paragraph.") == [
        Sentence(wrapped.replace("\n", " ")),
        Pause(PARAGRAPH),
        Sentence("Second paragraph."),
    ]


def test_a_list_keeps_its_lines() -> None:
    assert sentences("1. Milk and honey\n2. Eggs\n- bread") == ["1. Milk and honey\n2. Eggs\n- bread"]


@pytest.mark.parametrize(
    ("mark", "seconds"),
    [
        ("[pause 0.5s]", 0.5),
        ("[pause 500ms]", 0.5),
        ("[Pause 2 seconds]", 2),
        ("[pause]", 0.5),
        ("[pause 0,2s]", 0.2),
    ],
)
def test_a_pause_is_a_pause(mark: str, seconds: float) -> None:
    assert split(f"Wait for it {mark} now.") == [Sentence("Wait for it"), Pause(seconds), Sentence("now.")]


@pytest.mark.parametrize(
    "mark", ["[pause 31s]", "[pause -1s]", "[pause 0s]", "[pause soon]", "[pause 1 minute]", "[pause 1s"]
)
def test_a_pause_that_makes_no_sense_is_refused_in_words(mark: str) -> None:
    with pytest.raises(InputError, match="pause"):
        split(f"Wait {mark}")


@pytest.mark.parametrize("text", ["", "  \n", "...", "?!", "* * *", "[pause 1s]", "“”"])
def test_nothing_to_say_is_refused_in_words(text: str) -> None:
    with pytest.raises(InputError, match="nothing to say"):
        split(text)


def test_marks_without_words_stay_with_a_sentence() -> None:
    assert all(sayable(sentence) for sentence in sentences("---\nOne.\n\n* * *\n\nTwo.\n\n***"))


@pytest.mark.parametrize(
    "text", ["word " * 2000, "a clause of some words, " * 500, "one and two but three " * 500]
)
def test_ten_thousand_characters_without_a_stop_are_cut_between_words(text: str) -> None:
    pieces = sentences(text)
    assert max(map(len, pieces)) <= LONGEST
    assert " ".join(pieces).split() == text.split()
    assert min(map(len, pieces)) > LONGEST / 4


def test_a_long_sentence_is_cut_at_a_clause() -> None:
    clause = "the rain fell on the old roof and the wind moved in the trees"
    assert sentences(f"{clause}; {clause}; {clause}; {clause}.")[0].endswith(";")
    assert cut("a b", 10) == ["a b"]


@pytest.mark.parametrize(
    ("clause", "least", "most"),
    [
        ("昨天下午我们一起去了河边的公园，", 20, 75),
        ("きのうのごご、わたしたちはかわのそばのこうえんへいきました、", 20, 75),
        ("어제 오후에 우리는 강가의 공원에 함께 갔습니다, ", 35, 120),
    ],
)
def test_where_a_character_is_a_syllable_a_sentence_has_fewer_of_them(
    clause: str, least: int, most: int
) -> None:
    text = clause * 40
    pieces = sentences(text)
    assert visible("".join(pieces)) == visible(text)
    assert all(least <= len(piece) <= most for piece in pieces)
    assert max(map(weight, pieces)) <= LONGEST
    assert all(piece[-1] in ",，、" for piece in pieces)


def test_mixed_text_is_weighed_by_its_characters() -> None:
    assert weight("Hello 你好 안녕") == 6 + 6 + 1 + 4
    english, chinese = "some words of English, ", "和一些中文的词，"
    pieces = sentences((english * 5 + chinese * 10) * 4)
    assert LONGEST / 4 < min(map(weight, pieces)) and max(map(weight, pieces)) <= LONGEST


def test_a_run_of_characters_without_any_mark_is_cut_within_reach() -> None:
    pieces = sentences("好" * 500)
    assert "".join(pieces) == "好" * 500 and max(map(weight, pieces)) <= LONGEST


def test_a_few_characters_that_say_enough_stand_alone() -> None:
    assert sentences("今天天气很好。我们去公园吧。") == ["今天天气很好。", "我们去公园吧。"]
    assert sentences("好。我们现在去公园吧。") == ["好。我们现在去公园吧。"]


def test_no_character_is_lost_and_no_word_is_cut() -> None:
    chance = random.Random(1)
    atoms = [
        *"abc XYZ 123 .,;:!?-—…'\"“”()[]{}@#$%&*/\\ \n\n\t éß你。！🎉👍",
        "Dr. ",
        "e.g. ",
        "3.14",
        "U.S. ",
        "\r\n",
        "\u2028",
    ]
    words = [
        "hello",
        "Mr.",
        "1.5",
        "http://a.b/c",
        "…",
        "(",
        "“Yes.”",
        "no.",
        "\n",
        "\n\n",
        "and",
        "well,",
        "日本。",
    ]
    for _ in range(400):
        loose = "".join(chance.choices(atoms, k=chance.randrange(1, 400)))
        spaced = " ".join(chance.choices(words, k=chance.randrange(1, 200)))
        for text in (f"a{loose}", f"a {spaced}"):
            pieces = sentences(text, longest=chance.choice([40, 200]))
            assert visible("".join(pieces)) == visible(text)
        # A stop of Chinese needs no space after it, so that a sentence may end inside such a "word".
        whole = set(spaced.replace("。", "。 ").split()) | {"a", "日本。日本。"}
        assert {word for piece in pieces for word in piece.replace("。", "。 ").split()} <= whole


def test_the_text_may_be_huge() -> None:
    for text in (
        "Hello there, my dear old friend. " * 9000,
        "." * 99999 + "x",
        " " * 99999 + "x",
        "a" * 99999,
        "1," * 50000,
    ):
        assert visible("".join(sentences(text))) == visible(text)


# --- written to spoken ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("21 birds", "twenty-one birds"),
        (
            "1,234,567.89",
            "one million two hundred thirty-four thousand five hundred sixty-seven point eight nine",
        ),
        ("-5 and 0.5", "minus five and zero point five"),
        ("22nd, 1st, 1,000th", "twenty-second, first, one thousandth"),
        (
            "in 1905, 1999, 2000 and 2024",
            "in nineteen oh five, nineteen ninety-nine, two thousand and twenty twenty-four",
        ),
        ("the 1990s", "the nineteen nineties"),
        ("agent 007", "agent zero zero seven"),
        ("12345678901234567890", "one two three four five six seven eight nine zero " * 2),
        ("2024-03-05", "March fifth, twenty twenty-four"),
        ("5/3/2024", "May third, twenty twenty-four"),
        ("March 5th", "March fifth"),
        ("7:05 pm", "seven oh five PM"),
        ("7:00", "seven o'clock"),
        ("9am-5pm", "nine AM to five PM"),
        ("19:30", "nineteen thirty"),
        ("$3.50", "three dollars and fifty cents"),
        ("€20, £1m, ¥500", "twenty euros, one million pounds, five hundred yen"),
        ("-$5, 3,50 €", "minus five dollars, three euros and fifty cents"),
        ("50%, 10-20%", "fifty percent, ten to twenty percent"),
        ("5 kg, 1 km", "five kilograms, one kilometer"),
        ("-3 °C, 60 km/h", "minus three degrees Celsius, sixty kilometers per hour"),
        ("1/2, ½, 2½, 3/4", "one half, one half, two and a half, three quarters"),
        ("Henry VIII and World War II", "Henry the eighth and World War two"),
        ("Mr IVIV", "Mister IVIV"),
        ("555-123-4567", "five five five, one two three, four five six seven"),
        ("Dr. Smith of St. Paul", "Doctor Smith of Saint Paul"),
        ("Main St. vs. Elm Ave. etc", "Main Street versus Elm Avenue etc"),
        ("e.g. this, i.e. that", "for example this, that is that"),
        ("the U.S.A. and the FBI", "the USA and the FBI"),
        ("STOP SHOUTING AT ME", "stop shouting at me"),
        ("It was HUGE", "It was huge"),
        ("github.com/myna", "github dot com slash myna"),
        ("jo.doe@mail.co.uk", "jo dot doe at mail dot co dot UK"),
        ("#MachineLearning by @ann", "hashtag Machine Learning by at ann"),
        ("2+2=4, x², 10^6", "two plus two equals four, x squared, ten to the power of six"),
        ("3 × 4 ≈ 12, a < b", "three times four is about twelve, a less than b"),
        ("Rock & roll → © 2024", "Rock and roll to copyright twenty twenty-four"),
        ("version 1.2.3", "version one point two point three"),
        ("RTX3090, H200, GPT-4", "RTX thirty ninety, H two hundred, GPT four"),
        ("Wait!!! What — no way...", "Wait! What—no way…"),
        ("‘Yes’ and “no”, don’t", "“Yes” and “no”, don't"),
        ("**bold** and `code`", "bold and code"),
        ("pp. 5–7, No. 5, #5", "pages five to seven, number five, number five"),
        ("ｆｕｌｌ 𝐁𝐨𝐥𝐝 ﬁne", "full Bold fine"),
        ("α and β", "alpha and beta"),
        ("192.168.0.1", "one hundred ninety-two dot one hundred sixty-eight dot zero dot one"),
    ],
)
def test_writing_becomes_words(written: str, spoken: str) -> None:
    said, notes = english.words(written)
    assert said.lower() == spoken.strip().lower()
    assert notes == ()


def test_british_english_differs_in_dates_and_numbers() -> None:
    assert english.words("5/3/2024", british=True)[0] == "the fifth of March, twenty twenty-four"
    assert english.words("105 birds", british=True)[0] == "one hundred and five birds"
    assert not torch.equal(english.read("car", british=True).ids, english.read("car").ids)


def test_every_number_has_words() -> None:
    chance = random.Random(2)
    for value in [*range(1200), *(chance.randrange(10 ** chance.randrange(4, 36)) for _ in range(200))]:
        for british in (False, True):
            assert set(cardinal(value, british)) <= set(string.ascii_lowercase + " -")
            assert ordinal(value, british)[-2:] in ("st", "nd", "rd", "th")


# --- what is not voiced is told ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Hello мир", "3 characters in Cyrillic"),
        ("Hello 你好", "2 characters in Chinese"),
        ("Great 👍", "thumbs up"),
        ("See https://example.com", "https://"),
        ("Nice :-)", ":-)"),
    ],
)
def test_notes_tell_what_is_not_read_as_written(text: str, told: str) -> None:
    assert told in " ".join(english.read(text).notes)


@pytest.mark.parametrize(
    ("text", "named"), [("Привет, мир!", "Cyrillic"), ("你好。", "Chinese"), ("...", "nothing")]
)
def test_a_text_without_english_is_refused_and_the_script_named(text: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        english.read(text)


def test_whatever_is_written_the_symbols_are_the_network_s() -> None:
    chance = random.Random(3)
    alphabet = string.printable + "éßłŒ½²₂€£°µ×→🎉👍🏽❤️🇩🇪٣你мαΩ—…“”’\u200b\u00ad\u0301\ufe0f"
    for _ in range(300):
        text = "ok " + "".join(chance.choices(alphabet, k=chance.randrange(1, 60)))
        phrase = english.read(text)
        assert phrase.ids[0] == phrase.ids[-1] == 0
        assert (phrase.ids[1:-1] > 0).all()


def test_every_word_reaches_the_phonemes() -> None:
    text = "The quick brown zyxquill jumps over Mr. Nguyen's naïve GPUs at 7:05 pm, rhythm hmm pfft tsk"
    said, silent = english.phonemes(english.words(text)[0])
    assert silent == ()
    assert len(said.split()) >= len(english.words(text)[0].split())


# --- phonemes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [
        ("I will read it.", "I have read it.", -2),
        ("They live here.", "A live show.", 1),
        ("The wind blows.", "Wind the clock.", None),
        ("Close the door.", "A close friend.", None),
        ("They lead us.", "A lead pipe.", 1),
        ("Tie a bow.", "Take a bow.", 2),
        ("I object to it.", "An object fell.", 1),
        ("He caught a bass.", "He plays bass.", None),
    ],
)
def test_homographs_sound_by_their_neighbours(first: str, second: str, word: int | None) -> None:
    def sounds(text: str) -> list[str]:
        return english.phonemes(english.words(text)[0])[0].rstrip(".").split()

    if word is None:
        spelled = next(
            w
            for w in first.lower().rstrip(".").split()
            if w in second.lower().rstrip(".").split() and len(w) > 3
        )
        places = [text.lower().rstrip(".").split().index(spelled) for text in (first, second)]
    else:
        places = [word, word]
    assert sounds(first)[places[0]].lstrip("ˈˌ") != sounds(second)[places[1]].lstrip("ˈˌ")


def test_capitals_that_are_no_word_are_spelled() -> None:
    assert english.phonemes("FBI")[0].count("ˈ") + english.phonemes("FBI")[0].count("ˌ") == 3
    assert english.phonemes("NASA")[0] == english.phonemes("Nasa")[0]


def test_stops_and_quotes_stay() -> None:
    said = english.phonemes("She said: “Vitamin C.” Plan B.")[0]
    assert said.count(".") == 2 and "“" in said and "”" in said and ":" in said


def test_ids_are_the_alphabet_of_the_network() -> None:
    assert (english.IDS[";"], english.IDS[" "], english.IDS["ˈ"], english.IDS["ᵻ"]) == (1, 16, 156, 177)
    assert len(english.SYMBOLS) == 178 and len(english.IDS) == 114


def test_pieces_fit_and_lose_nothing() -> None:
    for text in ("seventy-seven thousand words, " * 60, "9" * 900, "x" * 2000, "1234567 " * 100):
        parts = english.pieces(text)
        assert visible("".join(parts)) == visible(text)
        assert all(len(english.read(part).ids) <= english.MAX_TOKENS + 2 for part in parts)
    with pytest.raises(ValueError, match="phonemes"):
        english.read("seventy-seven thousand words, " * 60)
    assert english.pieces("Hello there.") == ["Hello there."]


def test_two_threads_read_as_one() -> None:
    texts = [f"Number {n} is read by Dr. Zyxquill in {1900 + n}." for n in range(40)]
    alone = [english.read(text).ids.tolist() for text in texts]
    with ThreadPoolExecutor(4) as pool:
        together = [phrase.ids.tolist() for phrase in pool.map(english.read, texts)]
    assert together == alone


def test_subtitles_name_every_sentence_with_its_times() -> None:
    spans = [Span("One.", 0.0, 1.25), Span("Two.", 1.75, 3661.5)]
    assert subtitles(spans) == (
        "1\n00:00:00,000 --> 00:00:01,250\nOne.\n\n2\n00:00:01,750 --> 01:01:01,500\nTwo.\n"
    )
