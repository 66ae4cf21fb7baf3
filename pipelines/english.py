"""English as it is written to words that can be said: the same for every engine that reads English.

`words` writes out all that is not a word (numbers, dates, money, units, addresses, signs, emoji);
`tokens` gives what `hibari.g2p` (Apache-2.0) makes of those words. What cannot be voiced is named in
the notes. Which sounds a word has is each engine's own affair.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from hibari.g2p import G2P
from hibari.g2p.token import Tok

from pipelines.text import STARTERS

# --- numbers in words -------------------------------------------------------------------------------------

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    " seventeen eighteen nineteen"
).split()
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
SCALES = (
    "thousand million billion trillion quadrillion quintillion sextillion septillion octillion nonillion"
    " decillion"
).split()
ORDINALS = dict(
    one="first", two="second", three="third", five="fifth", eight="eighth", nine="ninth", twelve="twelfth"
)
LONGEST_CARDINAL = 15  # digits written without commas: beyond that a number is an identifier


def cardinal(number: int, british: bool = False) -> str:
    """234 as "two hundred thirty-four"; British English has "and thirty-four"."""
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10] + (f"-{ONES[number % 10]}" if number % 10 else "")
    joint = " and " if british else " "
    if number < 1000:
        rest = joint + cardinal(number % 100, british) if number % 100 else ""
        return f"{ONES[number // 100]} hundred{rest}"
    power = (len(str(number)) - 1) // 3
    high, low = divmod(number, 1000**power)
    rest = (joint if low < 100 else " ") + cardinal(low, british) if low else ""
    return f"{cardinal(high, british)} {SCALES[power - 1]}{rest}"


def ordinal(number: int, british: bool = False) -> str:
    """21 as "twenty-first"."""
    head, last = re.fullmatch(r"(.*?)(\w+)", cardinal(number, british)).groups()
    return head + ORDINALS.get(last, f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")


def year(number: int, british: bool = False) -> str:
    """1905 as "nineteen oh five", 2005 as "two thousand five"."""
    high, low = divmod(number, 100)
    if not 1 <= high <= 99 or (high % 10 == 0 and low < 10):
        return cardinal(number, british)
    return f"{cardinal(high)} {cardinal(low) if low > 9 else f'oh {ONES[low]}' if low else 'hundred'}"


def digits(text: str) -> str:
    """Every digit of `text` by its name."""
    return " ".join(ONES[int(digit)] for digit in text if digit.isdecimal())


def number(text: str, british: bool = False) -> str:
    """A number as it is written ("-1,234.50", "007") in words."""
    sign = "minus " if text[0] in "-−" else "plus " if text[0] == "+" else ""
    whole, point, fraction = text.lstrip("-−+").partition(".")
    plain = whole.replace(",", "")
    spelled = (len(plain) > 1 and plain[0] == "0") or len(plain) > (36 if "," in whole else LONGEST_CARDINAL)
    said = digits(plain) if spelled else cardinal(int(plain or 0), british)
    return sign + said + (f" point {digits(fraction)}" if point and fraction else "")


def plain_number(text: str, british: bool = False) -> str:
    """As `number`, but four digits that look like a year are read as one."""
    value = int(text) if re.fullmatch(r"\d{4}", text) else 0
    if 1100 <= value < 2000 or (2000 <= value < 2100 and value != 2048):
        return year(value, british)
    return number(text, british)


def paired(text: str, british: bool = False) -> str:
    """Digits beside letters as one says a model's name: H200 "two hundred", RTX 3090 "thirty ninety"."""
    if text[0] == "0" or len(text) > 4:
        return digits(text)
    if len(text) == 4:
        return year(int(text), british)
    if len(text) == 3 and text[1:] != "00":
        last = f"oh {ONES[int(text[2])]}" if text[1] == "0" else cardinal(int(text[1:]))
        return f"{ONES[int(text[0])]} {last}"
    return cardinal(int(text), british)


# --- tables -----------------------------------------------------------------------------------------------

MONTHS = ("January February March April May June July August September October November December").split()
MONTH_KEYS = {name[:3].lower(): name for name in MONTHS}
DENOMINATORS = {2: "half", 3: "third", 4: "quarter", 100: "hundredth"}
MONEY = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "jeon", "jeon"),
    "₽": ("ruble", "rubles", "kopek", "kopeks"),
    "₿": ("bitcoin", "bitcoins", "cent", "cents"),
    "₺": ("lira", "lira", "kurush", "kurush"),
    "₪": ("shekel", "shekels", "agora", "agorot"),
    "₫": ("dong", "dong", "xu", "xu"),
}
MONEY_CODES = {
    "USD": "$",
    "EUR": "€",
    "GBP": "£",
    "JPY": "¥",
    "INR": "₹",
    "Rs": "₹",
    "CNY": "yuan",
    "RMB": "yuan",
}
SCALE_WORDS = {
    "k": "thousand", "K": "thousand", "m": "million", "M": "million", "mn": "million", "b": "billion",
    "B": "billion", "bn": "billion", "T": "trillion", "tn": "trillion",
}  # fmt: skip
UNITS = {
    "km": "kilometers", "m": "meters", "cm": "centimeters", "mm": "millimeters", "µm": "micrometers",
    "nm": "nanometers", "mi": "miles", "ft": "feet", "yd": "yards", "in.": "inches", "ha": "hectares",
    "kg": "kilograms", "g": "grams", "mg": "milligrams", "µg": "micrograms", "lb": "pounds", "lbs": "pounds",
    "oz": "ounces", "t": "tonnes", "l": "liters", "L": "liters", "ml": "milliliters", "mL": "milliliters",
    "cl": "centiliters", "s": "seconds", "sec": "seconds", "secs": "seconds", "ms": "milliseconds",
    "µs": "microseconds", "ns": "nanoseconds", "min": "minutes", "mins": "minutes", "h": "hours",
    "hr": "hours",
    "hrs": "hours", "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz", "W": "watts",
    "kW": "kilowatts", "MW": "megawatts", "GW": "gigawatts", "kWh": "kilowatt hours", "Wh": "watt hours",
    "V": "volts", "mV": "millivolts", "kV": "kilovolts", "mA": "milliamps", "mAh": "milliamp hours",
    "Ω": "ohms", "J": "joules", "kJ": "kilojoules", "kcal": "kilocalories", "cal": "calories", "N": "newtons",
    "Pa": "pascals", "hPa": "hectopascals", "kPa": "kilopascals", "dB": "decibels", "B": "bytes",
    "kB": "kilobytes",
    "KB": "kilobytes", "MB": "megabytes", "GB": "gigabytes", "TB": "terabytes", "PB": "petabytes",
    "KiB": "kibibytes", "MiB": "mebibytes", "GiB": "gibibytes", "kbps": "kilobits per second",
    "Mbps": "megabits per second", "Gbps": "gigabits per second", "mph": "miles per hour",
    "kph": "kilometers per hour", "fps": "frames per second", "rpm": "revolutions per minute", "px": "pixels",
    "°C": "degrees Celsius", "°F": "degrees Fahrenheit", "°": "degrees", "%": "percent", "‰": "per thousand",
    "kn": "knots", "pt": "points", "pts": "points", "dpi": "dots per inch", "ppm": "parts per million",
    "sq ft": "square feet", "sq m": "square meters", "sqm": "square meters",
}  # fmt: skip
SINGULAR = {
    "feet": "foot",
    "inches": "inch",
    "hertz": "hertz",
    "percent": "percent",
    "per thousand": "per thousand",
}
PER = {"h": "hour", "hr": "hour", "s": "second", "sec": "second", "min": "minute", "day": "day",
       "week": "week",
       "month": "month", "mo": "month", "year": "year", "yr": "year", "kg": "kilogram", "l": "liter",
       "L": "liter",
       "m": "meter", "km": "kilometer", "hour": "hour", "person": "person", "cm³": "cubic centimeter",
       "m²": "square meter", "m³": "cubic meter", "s²": "second squared", "ml": "milliliter"}  # fmt: skip

# Read before a capital only, as in "Dr. Smith"; the stop is optional for these alone.
TITLES = {
    "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Mx": "Mix", "Dr": "Doctor", "Prof": "Professor",
    "St": "Saint",
    "Mt": "Mount", "Ft": "Fort", "Gen": "General", "Gov": "Governor", "Sen": "Senator",
    "Rep": "Representative",
    "Capt": "Captain", "Lt": "Lieutenant", "Col": "Colonel", "Sgt": "Sergeant", "Cmdr": "Commander",
    "Rev": "Reverend", "Hon": "Honorable", "Pres": "President", "Maj": "Major", "Adm": "Admiral",
    "Cpl": "Corporal",
    "Fr": "Father", "Messrs": "Messers", "Mme": "Madame", "Mlle": "Mademoiselle",
}  # fmt: skip
NEEDS_STOP = frozenset("Ft Gen Gov Rep Col Rev Hon Pres Fr Mt Maj Adm".split())
ABBREVIATIONS = {
    "e.g": "for example", "i.e": "that is", "etc": "et cetera", "vs": "versus", "approx": "approximately",
    "cf": "compare", "viz": "namely", "et al": "and others", "ca": "circa", "Jr": "Junior", "Sr": "Senior",
    "St": "Street", "Dr": "Drive", "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Ln": "Lane",
    "Hwy": "Highway", "Apt": "Apartment", "Bldg": "Building", "Ltd": "Limited", "Inc": "Incorporated",
    "Corp": "Corporation", "Co": "Company", "Bros": "Brothers", "Dept": "Department", "dept": "department",
    "Univ": "University", "Assn": "Association", "Govt": "Government", "govt": "government",
    "est": "established",
    "Est": "Established", "incl": "including", "excl": "excluding", "misc": "miscellaneous", "avg": "average",
    "max": "maximum", "min": "minimum", "temp": "temperature", "Mon": "Monday", "Tue": "Tuesday",
    "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday", "Thurs": "Thursday", "Fri": "Friday",
    "Sat": "Saturday", "Sun": "Sunday", "ed": "edition", "eds": "editors", "Messrs": "Messers",
    "Ph.D": "PHD", "PhD": "PHD", "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Prof": "Professor",
    "Atty": "Attorney", "Capt": "Captain", "Sgt": "Sergeant", "Lt": "Lieutenant", "Sen": "Senator",
} | {name[:3]: name for name in MONTHS if name != "May"} | {"Sept": "September"}  # fmt: skip
BEFORE_NUMBER = {
    "no": "number", "nos": "numbers", "p": "page", "pp": "pages", "vol": "volume", "vols": "volumes",
    "fig": "figure", "figs": "figures", "ch": "chapter", "chs": "chapters", "sec": "section",
    "art": "article",
    "eq": "equation", "par": "paragraph", "op": "opus", "ver": "version", "v": "version", "tel": "telephone",
    "ext": "extension", "rev": "revision", "pt": "part",
}  # fmt: skip
SHORTHAND = {"w/o": "without", "w/": "with", "b/c": "because", "c/o": "care of", "n/a": "not applicable",
             "N/A": "not applicable", "24/7": "twenty-four seven", "9/11": "nine eleven",
             "50/50": "fifty-fifty",
             "&c.": "et cetera", "A.D.": "AD", "B.C.": "BC",
             "AT&T": "ATNT", "C#": "C sharp", "F#": "F sharp"}  # fmt: skip

REGNAL = frozenset(
    """Pope King Queen Henry Louis Edward George William Charles James Richard Elizabeth Mary Napoleon Pius
    Benedict Leo Paul John Ramses Ramesses Frederick Friedrich Philip Alexander Nicholas Peter Catherine Ivan
    Umberto Victor Emmanuel Gustav Christian Ferdinand Franz Francis Gregory Innocent Urban
    Clement Julius Otto Harald Haakon Ptolemy Cleopatra Darius Wilhelm Alfonso Felipe Juan Carlos Joseph Pedro
    Boniface Stephen""".split()
)
COUNTED = frozenset(
    """chapter part act scene section volume book phase article war mark type level stage class grade bowl
    apollo gemini fantasy episode round rocky title appendix figure table unit division category tier
    version""".split()
)
SIGNS = {
    "+": "plus", "−": "minus", "×": "times", "÷": "divided by", "=": "equals", "≠": "is not equal to",
    "≈": "is about", "≅": "is congruent to", "≡": "is identical to", "≤": "is at most", "≥": "is at least",
    "<": "less than", ">": "greater than", "±": "plus or minus", "√": "the square root of",
    "∞": "infinity", "∑": "the sum of", "∏": "the product of", "∫": "the integral of", "∂": "partial",
    "∈": "in", "∉": "not in", "∅": "the empty set", "∪": "union", "∩": "intersection", "⊂": "is a subset of",
    "∀": "for all", "∃": "there exists", "∝": "is proportional to", "·": "dot", "⋅": "dot", "∙": "dot",
    "°": "degrees",
    "&": "and", "@": "at", "#": "hash", "%": "percent", "‰": "per thousand", "©": "copyright",
    "®": "registered", "™": "trademark", "§": "section", "¶": "paragraph", "†": "dagger",
    "‡": "double dagger",
    "→": "to", "←": "from", "↔": "to and from", "⇒": "implies", "⇔": "is equivalent to", "↑": "up",
    "↓": "down",
    "↗": "up", "↘": "down", "^": "to the power of", "~": "about", "/": "slash", "\\": "backslash",
    "|": "bar", "_": "underscore",
    "*": "star", "$": "dollars", "€": "euros", "£": "pounds", "¥": "yen", "¢": "cents", "₹": "rupees",
    "¹": "to the power of one", "²": "squared", "³": "cubed", "№": "number", "ª": "a", "º": "o",
    "✓": "check mark", "✔": "check mark", "✗": "cross", "✘": "cross", "★": "star", "☆": "star", "♥": "heart",
    "❤": "red heart", "✨": "sparkles", "👍": "thumbs up", "👎": "thumbs down", "🙏": "folded hands",
    "😂": "face with tears of joy", "🤣": "rolling on the floor laughing", "🔥": "fire", "🎉": "party popper",
    "😊": "smiling face with smiling eyes", "💯": "hundred points",
    "👏": "clapping hands", "👋": "waving hand",
    "👌": "OK hand", "💪": "flexed biceps", "🇺🇳": "flag of the United Nations", "♪": "music note",
    "♫": "music notes",
}  # fmt: skip
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₋₊", "0123456789-+")
QUOTES = str.maketrans({
    "‘": "'", "’": "'", "‛": "'", "ʼ": "'", "′": "'", "＇": "'", "„": "“", "«": "“", "»": "”", "‹": "“",
    "›": "”",
    "〝": "“", "〞": "”", "″": '"', "「": "“", "」": "”", "『": "“", "』": "”", "[": "(", "]": ")", "{": "(",
    "}": ")",
    "【": "(", "】": ")", "《": "“", "》": "”", "。": ".", "、": ",", "，": ",", "！": "!",
    "？": "?", "：": ":",    "；": ";",
    "‥": "…", "‐": "-", "‑": "-", "‒": "–", "―": "—", "−": "−", "﹣": "-", "－": "-", "µ": "µ", "μ": "µ",
    "¡": "", "¿": "",
    "؟": "?", "،": ",", "।": ".", "⁄": "/", "∕": "/", "∼": "~", "～": "~", "∗": "*", "•": ",", "‣": ",",
    "◦": ",", "▪": ",",
    "●": ",", "○": ",", "■": ",", "□": ",",
})  # fmt: skip
SPECIAL_LATIN = {
    "ø": "o",
    "Ø": "O",
    "đ": "d",
    "Đ": "D",
    "ħ": "h",
    "ı": "i",
    "ŋ": "ng",
    "ſ": "s",
    "ł": "l",
    "Ł": "L",
}

# Capitals that a sentence in small letters spells, though the small word exists.
SPELLED = frozenset(
    """US IT AI ID UN EU UK TV PC CD DVD OS HR PR AM PM AD BC AC DC MD MA BA ER IQ IP ML MS UI UX VR AR QA
    PT GP IRS WHO MIT PHD""".split()
)
# Where the dictionary is plainly wrong or silent: American, British.
EXCEPTIONS = {
    "Siobhan": ("ʃəvˈɔn", "ʃəvˈɔːn"), "Niamh": ("nˈiv", "nˈiːv"), "Nguyen": ("wˈɪn", "wˈɪn"),
    "Zoë": ("zˈOi", "zˈQi"), "Chopin": ("ʃˈOpæn", "ʃˈQpan"), "Camus": ("kæmˈu", "kamˈuː"),
    "Goethe": ("ɡˈɜɹtə", "ɡˈɜːtə"), "Hermione": ("hɜɹmˈIəni", "hɜːmˈIəni"), "Yosemite": ("jOsˈɛmɪti",
    "jQsˈɛmɪti"),
    "Dvorak": ("dvˈɔɹʒæk", "dvˈɔːʒak"), "Dvořák": ("dvˈɔɹʒæk", "dvˈɔːʒak"), "Tchaikovsky": ("ʧIkˈɔfski",
    "ʧIkˈɒfski"),
    "Gloucester": ("ɡlˈɔstəɹ", "ɡlˈɒstə"), "Xi": ("ʃˈi", "ʃˈiː"), "Łódź": ("wˈuʤ", "wˈʊʤ"),
    "déjà": ("dˌAʒˈɑ", "dˌAʒˈɑː"), "deja": ("dˌAʒˈɑ", "dˌAʒˈɑː"), "jalapeño": ("hˌæləpˈAnjO", "hˌaləpˈAnjQ"),
    "acai": ("ˌɑsIˈi", "ˌasIˈiː"), "bough": ("bˈW", "bˈW"), "segue": ("sˈɛɡwA", "sˈɛɡwA"),
    "Gradio": ("ɡɹˈAdiO", "ɡɹˈAdiQ"), "regex": ("ɹˈɛʤɛks", "ɹˈɛʤɛks"), "CUDA": ("kˈudə", "kjˈuːdə"),
    "JSON": ("ʤˈAsɑn", "ʤˈAsɒn"), "YAML": ("jˈæməl", "jˈaməl"), "ONNX": ("ˈɑnɪks", "ˈɒnɪks"),
    "LaTeX": ("lˈAtɛk", "lˈAtɛk"), "Kubernetes": ("kˌubəɹnˈɛtiz", "kˌuːbənˈɛtiːz"), "macOS": ("mˌækˌOˈɛs",
    "mˌakˌQˈɛs"),
    "async": ("ˈAsɪŋk", "ˈAsɪŋk"), "GIF": ("ɡˈɪf", "ɡˈɪf"), "JPEG": ("ʤˈApɛɡ", "ʤˈApɛɡ"), "ASCII": ("ˈæski",
    "ˈaski"),
    "SQL": ("sˈikwəl", "sˈiːkwəl"), "Myna": ("mˈInə", "mˈInə"), "emoji": ("ɪmˈOʤi", "ɪmˈQʤi"),
    "Reykjavik": ("ɹˈAkjəvˌɪk", "ɹˈAkjəvˌɪk"), "ai": ("ˌAˈI", "ˌAˈI"), "Miz": ("mˈɪz", "mˈɪz"),
    "Messers": ("mˈɛsəɹz", "mˈɛsəz"),
}  # fmt: skip


@dataclass(frozen=True)
class Homograph:
    """A word whose sound hangs on its neighbours: `cue` matches the words around `word`, marked by «»."""

    cue: re.Pattern[str]
    american: str
    british: str


def _homograph(cue: str, american: str, british: str) -> Homograph:
    return Homograph(re.compile(cue, re.IGNORECASE), american, british)


# Only where one neighbour settles it: the tagger of hibari does the rest (read, live, wind, close, wound).
HOMOGRAPHS = (
    _homograph(r"«lead» (pipes?|paint|poisoning|pencils?|acid|shot|bullets?|weights?)\b", "lˈɛd", "lˈɛd"),
    _homograph(r"\b(made of|tin and|tons? of|molten) «lead»", "lˈɛd", "lˈɛd"),
    _homograph(r"\b(take|takes|took|taken|taking|deep) an? «bow»|«bow» (to|before|down)\b", "bˈW", "bˈW"),
    _homograph(
        r"«bass» (guitars?|players?|lines?|drums?|notes?|clef|voice)|\b(plays?|played|on) «bass»",
        "bˈAs",
        "bˈAs",
    ),
    _homograph(r"\b(I|you|we|they|to|must|would) «object»(?= to\b)", "əbʤˈɛkt", "əbʤˈɛkt"),
    _homograph(r"\b(will|to|would|can|could) «project»", "pɹəʤˈɛkt", "pɹəʤˈɛkt"),
    _homograph(
        r"\b(is|am|are|was|were|be|quite|feel|feels|felt) «content»(?! (of|in)\b)", "kəntˈɛnt", "kəntˈɛnt"
    ),
    _homograph(
        r"\b(is|are|was|were|the most|very|so) «minute»|«minute» (detail|amount|quantit|particle|trace)",
        "mInˈut",
        "mInjˈuːt",
    ),
    _homograph(
        r"\b(I|you|we|they|can|will|to|and) «use»(?! of)|«use» (an?|the|my|your|this|it|them|(?-i:[A-Z]\w+))",
        "jˈuz",
        "jˈuːz",
    ),
    _homograph(r"\bto «abuse»", "əbjˈuz", "əbjˈuːz"),
)

# --- patterns, in the order they are applied --------------------------------------------------------------

NUM = r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
MONTH = rf"(?:{'|'.join(MONTHS)}|(?:{'|'.join(name[:3] for name in MONTHS)}|Sept)(?![a-z])\.?)"
SCALE = r"(?:hundred|thousand|million|billion|trillion|mn|bn|tn|[kKmMbBT])(?![\w])"
SIGN = "".join(map(re.escape, MONEY))
URL = re.compile(
    r"(?<![\w@])(?:(?:https?|ftp)://[^\s<>\"“”]+|www\.[^\s<>\"“”]+|"
    r"(?:[a-zA-Z0-9-]+\.)+(?:com|org|net|edu|gov|io|co|uk|de|fr|info|app|dev|ai|me|tv|eu|us|ca|au|jp|cn)"
    r"(?:/[^\s<>\"“”]*)?)(?![\w@])"
)
EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@(?:[\w-]+\.)+[a-zA-Z]{2,}\b")
PUNCTUATION = ';:,.!?—…"()“”'
SPACED = re.compile(r"\s+")


@dataclass
class _Writing:
    """One text on its way to words. `notes` grow as things are read otherwise than written."""

    text: str
    british: bool
    notes: list[str] = field(default_factory=list)

    def replace(self, pattern: str | re.Pattern[str], said: Callable[[re.Match[str]], str]) -> None:
        self.text = re.sub(pattern, said, self.text)

    def note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)

    def cardinal(self, value: int) -> str:
        return cardinal(value, self.british)

    def number(self, written: str) -> str:
        return number(written, self.british)


def words(text: str, british: bool = False) -> tuple[str, tuple[str, ...]]:
    """`text` as words and punctuation, and notes on what is read otherwise or not at all.

    Capitals that remain in a run of two or more are letters to be spelled.
    """
    writing = _Writing(text, british)
    for step in STEPS:
        step(writing)
    return writing.text, tuple(writing.notes)


def _clean(w: _Writing) -> None:
    text = unicodedata.normalize("NFC", w.text).translate(QUOTES)
    text = re.sub(r"[\u00ad\u200b\u200c\u2060\ufeff\u202a-\u202e\u2066-\u2069]", "", text)
    text = re.sub(r"(?m)^\s*(?:[-*+–]|,)\s+(?=\S)", "", text)  # the bullets of a list
    text = re.sub(r"(?<![\w\s.,;:!?…)\"”])[ \t]*\n|(?<=\w)[ \t]*\n\s*", ", ", text)
    text = "".join(_compatible(character) for character in text)
    text = re.sub(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))", ",", text)
    grouped = r"(?<![\d.,])[1-9]\d{0,2}(?: \d{3}){2,}(?![\d.-])"
    text = re.sub(grouped, lambda match: match.group().replace(" ", ","), text)
    text = re.sub(r"([#*\d])\ufe0f?\u20e3", r" \1 ", text)  # keycaps
    w.text = SPACED.sub(" ", text).strip()
    for face in re.findall(EMOTICON, w.text):
        w.note(f"{face} has no sound and is left out.")
    w.replace(EMOTICON, lambda match: " ")


EMOTICON = re.compile(r"(?<!\S)(?:[:;=8xX]['-]?[()DPpOo/|3*]+(?![\w(])|<3+(?!\S))")


def _compatible(character: str) -> str:
    """Wide, bold, joined letters and foreign digits as plain ones; other characters as they are."""
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    category = unicodedata.category(character)
    wide = "\uff00" < character < "\uff5f"
    plain = unicodedata.normalize("NFKC", character)
    return plain if plain.isascii() and plain and (wide or category in ("Lu", "Ll", "Nl")) else character


def _addresses(w: _Writing) -> None:
    def url(match: re.Match[str]) -> str:
        address = match.group().rstrip(".,;:!?)'")
        bare = re.sub(r"^(?:https?|ftp)://", "", address)
        if bare != address:
            w.note(f"{address[: -len(bare)]} is left out of an address.")
        return f" {_spelled_address(bare)}{match.group()[len(address) :]}"

    w.replace(
        r"(?<![\w.])(\d{1,3}(?:\.\d{1,3}){3})(?::(\d+))?(?![\w])",
        lambda m: m.group(1).replace(".", " dot ") + (f" port {digits(m.group(2))}" if m.group(2) else ""),
    )
    w.replace(EMAIL, lambda match: f" {_spelled_address(match.group())}")
    w.replace(URL, url)
    w.replace(r"(?<!\w)@(\w[\w.]*\w|\w)", lambda match: f"at {_identifier(match.group(1))}")
    w.replace(r"(?<![\w&])#(\d+)", lambda match: f"number {match.group(1)}")
    w.replace(r"(?<![\w&])#(\w+)", lambda match: f"hashtag {_identifier(match.group(1))}")
    w.replace(r"(?<!\S)#(?= of\b)", lambda match: "number")
    w.replace(r"(?<!\w)#{1,6} (?=\w)", lambda match: "")


ADDRESS_SIGNS = {".": "dot", "/": "slash", "@": "at", "-": "dash", "_": "underscore", "?": "question mark",
                 ":": "colon", "=": "equals", "&": "and", "#": "hash", "+": "plus", "%": "percent",
                 "~": "tilde"}  # fmt: skip


def _spelled_address(address: str) -> str:
    said: list[str] = []
    for piece in re.findall(r"[A-Za-z]+|\d+|[^\W\d_]+|\S", address.rstrip("/")):
        if piece.isdecimal():
            said.append(cardinal(int(piece)) if len(piece) < 3 and piece[0] != "0" else digits(piece))
        elif piece.isalpha():
            said.append(_label(piece))
        else:
            said.append(ADDRESS_SIGNS.get(piece, piece))
    return " ".join(said)


SAID_LABELS = frozenset("com org net co me to of in on at my do go no is it we by up".split())


def _label(piece: str) -> str:
    """A part of an address as a word, or in capitals where it is to be spelled."""
    small = piece.lower()
    if len(piece) == 1:
        return "A" if small == "a" else small
    if small in SAID_LABELS:
        return piece
    unsayable = not re.search("[aeiouy]", small) and not known(small)
    return piece.upper() if len(piece) < 3 or unsayable else _identifier(piece)


def _identifier(name: str) -> str:
    """A name written without spaces (MachineLearning, some_one) as words."""
    parts = re.findall(r"[A-Z]{2,}(?![a-z])|[A-Z]?[^\W\d_A-Z]+|[A-Z]|\d+|[^\W\d_]+", name)
    return name if known(name) else " ".join(parts)


def _shorthand(w: _Writing) -> None:
    def scripture(match: re.Match[str]) -> str:
        return SHORTHAND[match.group()]

    w.replace(
        rf"(?<![\w/])(?:{'|'.join(map(re.escape, sorted(SHORTHAND, key=len, reverse=True)))})(?![\w/])",
        scripture,
    )
    w.replace(
        rf"\b({'|'.join(TITLES)})(\.?) (?=[A-Z])",
        lambda m: m.group() if not m.group(2) and m.group(1) in NEEDS_STOP else f"{TITLES[m.group(1)]} ",
    )
    w.replace(
        rf"(?i)\b({'|'.join(BEFORE_NUMBER)})\. ?(?=\d)",
        lambda m: _cased(BEFORE_NUMBER[m.group(1).lower()], m.group(1)) + " ",
    )
    w.replace(rf"\b({MONTH})(?=\s\d)", lambda m: MONTH_KEYS[m.group(1)[:3].lower()])

    def abbreviation(match: re.Match[str]) -> str:
        if match.group(1) in UNITS and match.string[: match.start()].rstrip()[-1:].isdigit():
            return match.group(1)
        return ABBREVIATIONS[match.group(1)] + _final_stop(match)

    names = "|".join(map(re.escape, sorted(ABBREVIATIONS, key=len, reverse=True)))
    w.replace(rf"(?<![\w.])({names})\.(?!\w)", abbreviation)
    w.replace(
        r"(?<![\w.])([EI]\.[GE])\.(?!\w)", lambda m: "For example" if m.group(1) == "E.G" else "That is"
    )
    w.replace(
        r"(?i)(?<![\w.])(vs|eg|ie)(?![\w.])",
        lambda m: {"vs": "versus", "eg": "for example", "ie": "that is"}[m.group().lower()],
    )
    w.replace(r"\bPhDs?\b", lambda m: "PHD" + ("'s" if m.group().endswith("s") else ""))


def _cased(word: str, like: str) -> str:
    return word.capitalize() if like[0].isupper() else word


def _dates(w: _Writing) -> None:
    def written(year_: str | None, month: int, day: int, match: re.Match[str]) -> str:
        if not (1 <= month <= 12 and 1 <= day <= 31):
            return match.group()
        spoken = f", {year(int(year_), w.british)}" if year_ else ""
        if w.british:
            return f"the {ordinal(day)} of {MONTHS[month - 1]}{spoken}"
        return f"{MONTHS[month - 1]} {ordinal(day)}{spoken}"

    def numeric(match: re.Match[str]) -> str:
        first, second, last = int(match.group(1)), int(match.group(3)), match.group(4)
        if len(last) == 2:
            last = ("19" if int(last) > 50 else "20") + last
        day_first = w.british or match.group(2) == "."
        month, day = (second, first) if (day_first and second <= 12) or first > 12 else (first, second)
        return written(last, month, day, match)

    w.replace(r"(?<=\d)T(?=\d\d:\d\d)", lambda m: " ")
    w.replace(
        r"\b(\d{4})([-/.])(\d{1,2})\2(\d{1,2})\b",
        lambda m: written(m.group(1), int(m.group(3)), int(m.group(4)), m),
    )
    w.replace(r"(?<![\w./-])(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2}(?![./]\d))(?![\w/-])", numeric)

    def month_first(match: re.Match[str]) -> str:
        name, day, last = match.group(1), int(match.group(2)), match.group(3)
        if not 1 <= day <= 31:
            return match.group()
        the = "the " if w.british else ""
        return f"{name} {the}{ordinal(day)}" + (f", {year(int(last), w.british)}" if last else "")

    months = "|".join(MONTHS)
    w.replace(
        rf"\b({months}) (?:the )?(\d{{1,2}})(?:st|nd|rd|th)?\b(?![:.,]?\d)(?:,? (\d{{4}})\b)?", month_first
    )
    w.replace(
        rf"\b(?:([Tt]he) )?(\d{{1,2}})(?:st|nd|rd|th)? (?:of )?({MONTH})(?!\w)(?:,? (\d{{4}})\b)?",
        lambda m: (
            f"{m.group(1) or 'the'} {ordinal(int(m.group(2)))} of {MONTH_KEYS[m.group(3)[:3].lower()]}"
            + (f" {year(int(m.group(4)), w.british)}" if m.group(4) else "")
            if 1 <= int(m.group(2)) <= 31
            else m.group()
        ),
    )
    w.replace(rf"\b({months}),? (\d{{4}})\b", lambda m: f"{m.group(1)} {year(int(m.group(2)), w.british)}")
    w.replace(r"(?<![\w.,])'?(\d{2}|\d{4})'?s\b(?!\w)", lambda m: _decade(m.group(1)))


def _decade(written: str) -> str:
    value = int(written)
    if value % 10:
        return f"{plain_number(written)}s"
    said = year(value) if len(written) == 4 else TENS[value // 10] if value else "two thousand"
    return f"{said[:-1]}ies" if said.endswith("y") else f"{said}s"


def _times(w: _Writing) -> None:
    def clock(match: re.Match[str]) -> str:
        hour, minute, second, half = match.groups()
        if int(hour) > 24 or int(minute) > 59 or int(second or 0) > 59:
            return match.group()
        said = w.cardinal(int(hour))
        if int(minute):
            said += f" oh {ONES[int(minute)]}" if int(minute) < 10 else f" {w.cardinal(int(minute))}"
        elif not half and not second:
            said += " hundred" if int(hour) > 12 else " o'clock"
        if second:
            said += f" and {w.cardinal(int(second))} second{'s' if int(second) != 1 else ''}"
        return said + _half(half, match)

    w.replace(r"(?<=[\dmM])\s?[-–]\s?(?=\d{1,2}(?::\d\d)?\s?[aApP]\.?[mM])", lambda m: " to ")
    half = r"(?:\s?([aApP])(?:\.[mM]\.?|[mM]\b))?"
    w.replace(rf"(?<![\d:.])(\d{{1,2}}):(\d{{2}})(?::(\d{{2}}))?(?![\d:]){half}", clock)
    w.replace(
        rf"(?<![\w.:])(\d{{1,2}}){half[:-1]}",
        lambda m: f"{w.cardinal(int(m.group(1)))}{_half(m.group(2), m)}",
    )
    w.replace(r"(?<![\w.])([aApP])\.[mM]\.?(?!\w)", lambda m: f"{m.group(1).upper()}M" + _final_stop(m))
    w.replace(
        r"(?<![\d:])(\d+):(\d+)(?![\d:])", lambda m: f"{w.number(m.group(1))} to {w.number(m.group(2))}"
    )


def _half(letter: str | None, match: re.Match[str]) -> str:
    return f" {letter.upper()}M{_final_stop(match)}" if letter else ""


def _final_stop(match: re.Match[str]) -> str:
    """The stop of an abbreviation that is the sentence's too."""
    rest = match.string[match.end() :].lstrip("\"'”) ")
    following = re.match(r"[^\W\d_]*", rest).group()
    ends = not rest or (following[:1].isupper() and following.lower() in STARTERS)
    return "." if match.group().endswith(".") and ends else ""


def _phones(w: _Writing) -> None:
    def phone(match: re.Match[str]) -> str:
        groups = re.findall(r"\d+", match.group())
        plus = "plus " if "+" in match.group() else ""
        return plus + ", ".join(map(digits, groups))

    w.replace(r"(?<![\w.])(?:\+?\d{1,3}[ .-]?)?\(\d{2,5}\) ?\d{3,4}[ .-]?\d{3,4}(?![\w])", phone)
    w.replace(r"(?<![\w.])\+\d{1,3}(?:[ .-]?\d{2,5}){2,5}(?!\w)", phone)
    w.replace(r"(?<![\w.-])(?:\d{1,2}[ .-])?(?:\d{3}[ .-])?\d{3}-\d{4}(?![\w-])", phone)
    w.replace(r"(?<![\w.,-])0\d{2,4} \d{3,4}(?: \d{3,4})?(?![\w-])", phone)
    w.replace(r"(?<![\w.,-])\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?![\w-])", phone)


def _money(w: _Writing) -> None:
    def amount(sign: str, written: str, scale: str | None) -> str:
        if sign == "yuan":
            return f"{w.number(written)} {SCALE_WORDS.get(scale, scale) + ' ' if scale else ''}yuan"
        one, many, cent, cents = MONEY[sign]
        if scale:
            return f"{w.number(written)} {SCALE_WORDS.get(scale, scale)} {many}"
        whole, _, fraction = written.replace(",", "").partition(".")
        if len(fraction) not in (0, 2):
            return f"{w.number(written)} {many}"
        if sign in "¥₩₫₿" and fraction:
            return f"{w.number(written)} {many}"
        units, parts = int(whole), int(fraction or 0)
        said = [f"{w.number(whole)} {one if units == 1 else many}"] if units or not parts else []
        said += [f"{w.cardinal(parts)} {cent if parts == 1 else cents}"] if parts else []
        return " and ".join(said)

    def before(match: re.Match[str]) -> str:
        minus, nation, sign, plus, written, until, scale = match.groups()
        sign = MONEY_CODES.get(sign.rstrip("."), sign)
        country = {
            "US": "US ",
            "A": "Australian ",
            "C": "Canadian ",
            "NZ": "New Zealand ",
            "HK": "Hong Kong ",
        }
        low = f"{w.number(written)} to " if until else ""
        said = amount(sign, until or written, scale)
        if nation:
            said = re.sub(r"\b(dollars?)\b", rf"{country[nation]}\1", said)
        return ("minus " if minus or plus else "") + low + said

    def after(match: re.Match[str]) -> str:
        written, scale, sign = match.groups()
        sign = MONEY_CODES.get(sign, sign)
        return amount(sign, re.sub(r",(?=\d\d$)", ".", written), scale)

    codes = "|".join(MONEY_CODES)
    w.replace(
        rf"(?<!\w)([-−])?(?:(US|A|C|NZ|HK)(?=\$))?([{SIGN}]|(?:{codes})\.?(?=\s?\d))\s?([-−])?({NUM})"
        rf"(?:\s?[-–]\s?[{SIGN}]?({NUM}))?(?:[ -]?({SCALE}))?(?!\d)",
        before,
    )
    w.replace(rf"(?<![\w.,])({NUM}|\d+,\d\d)\s?({SCALE})?\s?([{SIGN}]|(?:{codes})\b)", after)
    w.replace(
        rf"(?<![\w.,])({NUM})\s?¢", lambda m: f"{w.number(m.group(1))} cent{'' if m.group(1) == '1' else 's'}"
    )
    per = "|".join(PER)
    w.replace(
        rf"(?<=[a-z])\s?/\s?({per})(?!\w)",
        lambda m: f" per {PER[m.group(1)]}" if _after_money(m) else m.group(),
    )


def _after_money(match: re.Match[str]) -> bool:
    before = match.string[: match.start()].split()[-1:]
    return bool(before) and any(before[0] in names for names in MONEY.values())


def _units(w: _Writing) -> None:
    names = "|".join(map(re.escape, sorted(UNITS, key=len, reverse=True)))
    per = "|".join(map(re.escape, sorted(PER, key=len, reverse=True)))

    def unit(match: re.Match[str]) -> str:
        low, written, name, power, rate = match.groups()
        said = UNITS[name]
        if written.lstrip("-−+") == "1" and not low:
            said = SINGULAR.get(said) or (
                said[:-1] if said.endswith("s") else re.sub(r"s(?= )", "", said, count=1)
            )
        if power:
            said = {"²": "square", "2": "square", "³": "cubic", "3": "cubic"}[power] + f" {said}"
        start = f"{w.number(low)} to " if low else ""
        return f"{start}{w.number(written)} {said}" + (f" per {PER[rate]}" if rate else "")

    w.replace(
        r"(?<![\w.])(\d+)'\s?(\d{1,2})(?:\"|'')",
        lambda m: f"{w.number(m.group(1))} foot {w.number(m.group(2))}",
    )
    w.text = w.text.replace("℃", "°C").replace("℉", "°F").replace("° C", "°C").replace("° F", "°F")
    w.replace(
        rf"(?<![\w.,])(?:({NUM})\s?[-–]\s?)?([-−+]?(?:{NUM}))\s?({names})(?:([²³])|(?<=m)([23]))?(?:/({per}))?(?![\w°'])".replace(
            "(?:([²³])|(?<=m)([23]))?", "([²³]|(?<=m)[23](?!\\d))?"
        ),
        unit,
    )


def _fractions(w: _Writing) -> None:
    def fraction(top: int, bottom: int) -> str:
        if bottom == 10:
            return f"{w.cardinal(top)} out of ten"
        below = DENOMINATORS.get(bottom) or ordinal(bottom)
        many = {"half": "halves"}.get(below, f"{below}s")
        return f"{w.cardinal(top)} {below if top == 1 else many}"

    def slash(match: re.Match[str]) -> str:
        whole, top, bottom = match.groups()
        upper, lower = int(top), int(bottom)
        if not (0 < upper < lower and (lower <= 10 or lower in (12, 16, 20, 24, 32, 64, 100))):
            return match.group() if whole else f"{w.number(top)} over {w.number(bottom)}"
        said = fraction(upper, lower)
        if whole:
            return f"{w.number(whole)} and {'a ' + said[4:] if upper == 1 else said}"
        return said

    w.replace(r"(?<![\w./])(?:(\d+) )?(\d+)/(\d+)(?![\w/])", slash)

    def vulgar(match: re.Match[str]) -> str:
        top, bottom = unicodedata.normalize("NFKC", match.group(2)).split("⁄")
        said = fraction(int(top), int(bottom)) if int(top) else "zero"
        whole = match.group(1)
        return f" {w.number(whole)} and {'a ' + said[4:] if top == '1' else said} " if whole else f" {said} "

    w.replace(r"(?:(\d+)\s?)?([½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞⅐⅑⅒])", vulgar)


def _roman(written: str) -> int:
    values = [dict(I=1, V=5, X=10, L=50, C=100, D=500, M=1000)[letter] for letter in written]
    return sum(-a if a < b else a for a, b in zip(values, values[1:] + [0], strict=True))


def _romans(w: _Writing) -> None:
    numeral = r"(?=[IVXLCDM]+\b)M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"

    def read_roman(match: re.Match[str]) -> str:
        before, written = match.groups()
        value = _roman(written)
        if before in REGNAL and (
            written != "I" or re.match(r"\s*(?:[,.;:)']|$|of\b|and\b|was\b)", match.string[match.end() :])
        ):
            return f"{before} the {ordinal(value)}"
        if before.lower() in COUNTED or (len(written) > 1 and set(written) <= set("IVX") and value < 40):
            return f"{before} {cardinal(value)}"
        return match.group()

    w.replace(
        rf"\b([A-Z][a-z]+|{'|'.join(sorted(COUNTED))}) ({numeral})(?<=[IVXLCDM])\b(?![.'-]\w)", read_roman
    )
    w.replace(r"\bM[CDLXVIM]{3,}\b", lambda m: plain_number(str(_roman(m.group()))))


def _mathematics(w: _Writing) -> None:
    w.replace(r"[₀-₉₊₋]+", lambda m: m.group().translate(SUBSCRIPTS))
    w.replace(r"(?<=[\w)])[⁰¹²³⁴-⁹⁻⁺]+", lambda m: _power(m.group().translate(SUPERSCRIPTS)))
    w.replace(r"(?<=[\w)])\s?\^\s?\(?([-+]?\d+)\)?", lambda m: _power(m.group(1)))
    w.replace(
        r"(?<![\w.])(\d+(?:\.\d+)?)[eE]([-+]?\d+)(?!\w)",
        lambda m: f"{w.number(m.group(1))} times ten to the power of {w.number(m.group(2).lstrip('+'))}",
    )
    w.replace(
        r"(?<![\w.])(\d{3,4})\s?[x×]\s?(\d{3,4})(?!\w)",
        lambda m: f"{paired(m.group(1))} by {paired(m.group(2))}",
    )
    w.replace(
        r"(?<=\d)\s?[x×]\s?(?=\d)(?=\d{2,}|\d\s?[x×]|\d\b)",
        lambda m: " times " if "×" in m.group() else " by ",
    )
    w.replace(r"(?<=\d)\s?\*\s?(?=\d)", lambda m: " times ")
    w.replace(r"(?<=\d)x\b", lambda m: " times")
    w.replace(r"(?<=[\w)]) - (?=\d)", lambda m: " minus " if m.string[m.start() - 1].isdigit() else m.group())
    w.replace(r"<->|<=>", lambda m: "↔")
    w.replace(r"=>|->", lambda m: "→")
    w.replace(r"<=", lambda m: "≤")
    w.replace(r">=", lambda m: "≥")
    w.replace(r"[!=]==?", lambda m: "≠" if m.group()[0] == "!" else "=")


def _power(exponent: str) -> str:
    return {"2": " squared", "3": " cubed"}.get(exponent, f" to the power of {number(exponent)}")


def _numbers(w: _Writing) -> None:
    w.replace(rf"(?<![\w.,])({NUM})\s?[-–]\s?({NUM})(?![\w-])", lambda m: " to ".join(
        plain_number(part, w.british) for part in m.groups()))  # fmt: skip
    w.replace(r"(?<!\w)(\d[\d,]{0,20})(?:st|nd|rd|th)\b", lambda m: ordinal(_integer(m.group(1)), w.british))
    w.replace(r"(?<![\d.])\d+(?:\.\d+){2,}(?![\d])", lambda m: " point ".join(
        paired(part) if len(part) > 2 else number(part) for part in m.group().split(".")))  # fmt: skip
    w.replace(r"([A-Za-z])-(?=\d)", lambda m: f"{m.group(1)} ")
    w.replace(r"(?<=[A-Za-z])\d+(?![.,]?\d)", lambda m: f" {paired(m.group(), w.british)}{_gap(m)}")
    w.replace(r"\b(\d+)(?=(?:[A-Z]|[a-z]\d|[bpkKx]\b))", lambda m: f"{paired(m.group(1), w.british)} ")
    w.replace(r"(?<![\w)])[-−+](?=\.?\d)", lambda m: "plus " if m.group() == "+" else "minus ")
    w.replace(r"(?<!\d)\.(\d+)", lambda m: f"point {digits(m.group(1))}")
    w.replace(rf"({NUM})(-?)", lambda m: f" {plain_number(m.group(1), w.british)}{m.group(2)}" + (
        " " if m.string[m.end() : m.end() + 1].isalpha() and not m.group(2) else ""))  # fmt: skip


def _integer(written: str) -> int:
    return int(written.replace(",", ""))


def _gap(match: re.Match[str]) -> str:
    """A space where a letter follows at once."""
    return " " if match.string[match.end() : match.end() + 1].isalpha() else ""


def _letters(w: _Writing) -> None:
    """Dotted letters (U.S.A.), initials."""
    w.replace(
        r"(?<![\w.])((?:[A-Za-z]\.){2,}[A-Za-z]?)(?!\w)",
        lambda m: m.group(1).replace(".", "").upper() + _final_stop(m),
    )
    w.replace(
        r"\b([A-Z])\. (?=([A-Z]\w*))",
        lambda m: m.group() if m.group(2).lower() in STARTERS and len(m.group(2)) > 1 else f"{m.group(1)} ",
    )


def _capitals(w: _Writing) -> None:
    """Words in capitals: those that are words in small letters, those to be spelled left in capitals."""
    shouted = [range(0)] + [
        range(*match.span())
        for match in re.finditer(r"(?<![^\W_])[A-Z][A-Z']*(?:[^\w]+[A-Z][A-Z']*)+(?![^\W_])", w.text)
        if _shouted(re.findall(r"[A-Z']+", match.group()))
    ]

    def word(match: re.Match[str]) -> str:
        letters, ending = match.groups()
        small = letters.lower()
        loud = any(match.start() in stretch for stretch in shouted)
        if letters in EXCEPTIONS or (len(letters) < 2 and not loud):
            return match.group()
        if loud and (letters in "AI" or known(small) or (len(letters) > 4 and _pronounceable(small))):
            return ("I" if letters == "I" else small) + ending.lower()
        if not loud and letters in SPELLED:
            return letters + ("'s" if ending else "")
        if isinstance(g2p(w.british).lexicon.golds.d.get(letters), str):
            return letters + ("'s" if ending else "")
        if known(small) or (len(letters) > 4 and _pronounceable(small)):
            return (small.capitalize() if not loud else small) + ending.lower()
        return letters + ("'s" if ending else "")

    w.replace(r"(?<![^\W_])([A-Z]+)((?:'?[sS])?)(?![^\W_]|')", word)


def _shouted(run: list[str]) -> bool:
    ordinary = [one for one in run if len(one) > 1 and known(one.lower())]
    return len(ordinary) * 2 > len(run) and any(len(one) > 3 for one in ordinary)


def _pronounceable(small: str) -> bool:
    return bool(re.search("[aeiouy]", small)) and not re.search("[^aeiouy]{4}|^[^aeiouy]{3}|q(?!u)", small)


def _signs(w: _Writing) -> None:
    """All that is neither letter nor punctuation: by name where it has one, in a note where not."""
    w.text = re.sub(r"(?<!\w)(\*\*|__|[*_~`]{1,3})(?=\S)(.+?)(?<=\S)\1(?!\w)", r"\2", w.text)  # emphasis
    w.text = re.sub(r"[\u2028\u2029]", " ", w.text)
    w.replace(r"(?<=[a-z]{2})\.(?=[A-Z]\w)", lambda m: ". ")
    w.replace(r"(?<=\w)\.(?=\w)|(?<!\w)\.(?=[A-Za-z])", lambda m: " dot ")
    w.replace(r"(?<=\w)_+(?=\w)", lambda m: " underscore ")
    w.replace(r"(?<=[^\W\d_])\s*/\s*(?=[^\W\d_])", lambda m: " slash ")
    w.replace(r"\s*[-–]{2,}\s*|\s+[-–]\s+|\s*—+\s*|–", lambda m: "—")
    silent: list[str] = []
    w.text = "".join(_sign(sign, w, silent) for sign in re.findall(EMOJI_SEQUENCE, w.text))
    if silent:
        w.note("Marks that have no sound are left out: " + " ".join(dict.fromkeys(silent)))


EMOJI_SEQUENCE = re.compile(
    r"[\U0001f1e6-\U0001f1ff]{2}|[#*\d]\ufe0f?\u20e3|"
    r"(?:[\u2190-\u2bff\u3030\u303d\U0001f000-\U0001faff][\ufe0f\ufe0e]?[\U0001f3fb-\U0001f3ff]?\u200d?)+|.",
    re.DOTALL,
)


def _sign(sign: str, w: _Writing, silent: list[str]) -> str:
    character, kind = sign[0], unicodedata.category(sign[0])
    if character.isalpha() or character.isspace() or character in PUNCTUATION + "'-" or kind in ("Mn", "Mc"):
        return sign
    if character < FIRST_EMOJI and sign in SIGNS:
        return f" {SIGNS[sign]} "
    said = _emoji(sign) if kind in ("So", "Sm", "Sc", "Sk", "No") else ""
    if said:
        w.note(f"{sign} is read as {said!r}.")
        return f", {said}, "
    if kind not in ("Cc", "Cf"):
        silent.append(sign)
    return " "


FIRST_EMOJI = "\u2600"


def _emoji(sequence: str) -> str:
    """Emoji by their Unicode names, a repeated one counted."""
    if re.fullmatch("[\U0001f1e6-\U0001f1ff]{2}", sequence):
        return "flag of " + "".join(chr(ord(letter) - 0x1F1E6 + ord("A")) for letter in sequence)
    names: list[str] = []
    for character in sequence:
        if character in "\ufe0f\ufe0e\u200d\u20e3" or "\U0001f3fb" <= character <= "\U0001f3ff":
            continue
        name = SIGNS.get(character) or unicodedata.name(character, "").lower().replace("-", " ")
        name = re.sub(r"\b(sign|symbol|heavy|black|white)\b ?", "", name).strip() or name
        names.append(re.sub(r"[^a-zA-Z ]", " ", name))
    kinds = list(dict.fromkeys(names))
    return ", ".join(
        name + (f", {cardinal(names.count(name))} times" if names.count(name) > 1 else "")
        for name in kinds
        if name
    )


def _scripts(w: _Writing) -> None:
    """Letters: Latin ones kept, single Greek ones named, other scripts left out with a note."""
    w.replace(r"(?<![Ͱ-Ͽ])[Ͱ-Ͽ](?![Ͱ-Ͽ])", lambda m: f" {_greek(m.group())} ")
    left_out: dict[str, str] = {}

    def foreign(match: re.Match[str]) -> str:
        for character in match.group():
            if character.isalpha():
                script = SCRIPTS.get(unicodedata.name(character, "an unknown").split()[0], None)
                script = script or unicodedata.name(character, "unknown").split()[0].capitalize()
                left_out[script] = left_out.get(script, "") + character
        return " "

    w.text = unicodedata.normalize("NFC", w.text)
    w.replace(
        r"[^\W\d_]+", lambda m: m.group() if known(m.group()) else "".join(map(_plain_latin, m.group()))
    )
    w.replace(r"[^\x00-\x7f\u00c0-\u024f—…“”]+", foreign)
    for script, characters in left_out.items():
        many = f"{len(characters)} characters" if len(characters) > 1 else "1 character"
        w.note(f"{many} in {script} script cannot be read by this engine and are left out: {characters[:20]}")


SCRIPTS = {
    "CJK": "Chinese",
    "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese",
    "HANGUL": "Korean",
    "GREEK": "Greek",
}


def _greek(letter: str) -> str:
    name = unicodedata.name(letter, "")
    found = re.search(r"LETTER (?:FINAL )?(\w+)", name)
    return found.group(1).lower().replace("lamda", "lambda") if found and name.startswith("GREEK") else letter


def _plain_latin(character: str) -> str:
    """A Latin letter that the net for unknown words may not know, without its marks."""
    if character in SPECIAL_LATIN:
        return SPECIAL_LATIN[character]
    if character <= "\u00ff" or not unicodedata.name(character, "").startswith("LATIN"):
        return character
    return "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))


def _quotes(w: _Writing) -> None:
    text = re.sub(
        r"(?<!\w)'(tis|twas|cause|em|til|bout|round)\b",
        lambda m: {"em": "them"}.get(m.group(1), m.group(1)),
        w.text,
    )
    text = re.sub(r"(?<!\w)'(?=\w)([^']*(?:\w'\w[^']*)*)'(?!\w)", r"“\1”", text)
    text = re.sub(r"(?<![^\W\d_])'|'(?![^\W\d_])", "", text)
    text = re.sub(r"(?<!\w)-+|-+(?!\w)", " ", text)
    text = re.sub(r"\.{2,}", "…", text)
    text = re.sub(r"([!?,;:—…])(?: ?\1)+", r"\1", text)
    text = re.sub(r"(?<![^\s(—])\"", "“", text).replace('"', "”")
    text = re.sub(r"\(\s*\)", "", text)
    text = SPACED.sub(" ", text)
    text = re.sub(r" (?=[,.;:!?…)])", "", text)
    text = re.sub(r"(?<=[(“]) ", "", text)
    text = re.sub(r"[,;:](?=[,.;:!?…])", "", text)
    text = re.sub(r"(?<=[.!?…:;—(“]),", "", text)
    text = re.sub(r"[^\W\d_]{25,}", lambda m: " ".join(re.findall(".{1,24}", m.group())), text)
    w.text = re.sub(r"^[\s,;:.!?…)]+(?=\w)", "", text).strip(" ,")


STEPS = (
    _clean, _addresses, _shorthand, _dates, _times, _phones, _money, _units, _fractions, _romans,
    _mathematics,    _numbers, _letters, _capitals, _signs, _scripts, _quotes,
)  # fmt: skip


# --- tokens -----------------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def g2p(british: bool) -> G2P:
    """Dictionary, tagger and the net for unknown words; about 0.3 s, then shared by all threads."""
    reader = G2P(british=british)
    for word, sounds in EXCEPTIONS.items():
        reader.lexicon.golds.d[word] = sounds[british]
    return reader


def known(word: str) -> bool:
    """Whether the dictionary has the word, or the word with -s, -ed or -ing taken off."""
    lexicon = g2p(False).lexicon
    if word in lexicon.golds or word in lexicon.silvers:
        return True
    return any(
        stem(word, None, None, None)[0] for stem in (lexicon.stem_s, lexicon.stem_ed, lexicon.stem_ing)
    )


def tokens(spoken: str, british: bool = False) -> list[Tok]:
    """What `words` gave, cut and tagged; letters to spell and plain homographs have their `phonemes`."""
    # Or "B." is taken for an initial and its stop is lost, and likewise what clings to dashes and quotes.
    apart = re.sub(r"([.!?…]+|[—“”()])", r" \1 ", spoken)
    found = g2p(british).tokenize(re.sub("[“”]", '"', apart))  # the tagger knows straight quotes alone
    quotes = re.findall("[“”]", apart)
    for token, quote in zip([token for token in found if token.text == '"'], quotes, strict=True):
        token.phonemes = quote
    _settle(found, g2p(british), british)
    return found


def _settle(tokens: list[Tok], reader: G2P, british: bool) -> None:
    """Give phonemes to the tokens whose sound is known here: letters to be spelled, and homographs."""
    dictionary = reader.lexicon.golds.d
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        text = token.text
        if len(text) > 1 and re.fullmatch("[A-Z]+", text) and not isinstance(dictionary.get(text), str):
            token.phonemes = reader.lexicon.get_NNP(text)[0]
        elif text == "'s" and before is not None and before.phonemes:
            token.phonemes = ("ᵻz", "ɪz")[british] if before.text[-1] in "HSXZ" else "z"
        elif text in ("A", "a") and (after is None or after.text.lower() in LETTER_NEIGHBOURS):
            token.phonemes = "ˈA"
    texts = [token.text for token in tokens]
    for index, token in enumerate(tokens):
        if token.text.lower() in AMBIGUOUS:
            around = " ".join(
                [*texts[max(0, index - 3) : index], f"«{token.text}»", *texts[index + 1 : index + 4]]
            )
            for homograph in HOMOGRAPHS:
                if homograph.cue.search(around):
                    token.phonemes = homograph.british if british else homograph.american


LETTER_NEIGHBOURS = frozenset("plus minus times equals is and or squared cubed over , . ; : ! ? )".split())
AMBIGUOUS = frozenset(re.search(r"«(\w+)»", homograph.cue.pattern).group(1) for homograph in HOMOGRAPHS)
