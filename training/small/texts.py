"""English sentences by a grammar of our own, to be said by the teacher: nobody's text, nobody's licence.

Statements, questions, exclamations, dialogue, lists, numbers, repeated words, tongue twisters; from one word
to about seventy. `sentences(number, seed)` always gives the same ones.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

PEOPLE = """Anna|Ben|Clara|David|Emily|Frank|Grace|Henry|Isabel|Jack|Karen|Louis|Martha|Noah|Olivia|Peter|
Ruth|
Samuel|Theresa|Victor|Wendy|Yusuf|Zoe|Mr. Harrison|Mrs. Whitlock|Doctor Chen|Professor Okafor|Aunt Josephine|
my brother|my sister|our neighbor|the old teacher|the young doctor|the captain|the baker|the nurse|the driver|
her grandmother|his uncle|the stranger|the postman|a tall man in a gray coat|the girl with the red umbrella|
the engineer|the farmer|the judge|the whole family|everybody in the village|nobody|somebody|the two boys|
the musicians|the new manager|my best friend|the lady upstairs|the students|a couple of tourists"""
THINGS = """book|letter|window|garden|river|mountain|bicycle|piano|clock|bottle|basket|blanket|lantern|mirror|
camera|computer|telephone|newspaper|painting|ladder|bridge|boat|train|ticket|suitcase|umbrella|kitchen table|
wooden chair|silver spoon|glass of water|cup of coffee|loaf of bread|bowl of soup|basket of cherries|
pair of boots|
box of matches|sheet of paper|roll of tape|engine|battery|key|lock|door|roof|chimney|fence|field|forest|
orchard|
lighthouse|harbor|island|beach|storm|cloud|rainbow|shadow|candle|feather|stone|coin|ring|necklace|jacket|
sweater|
hat|glove|shoe|button|needle|thread|hammer|nail|saw|brush|bucket|rope|wheel|map|compass|telescope|microscope|
violin|trumpet|drum|guitar|song|story|poem|riddle|joke|secret|promise|question|answer|problem|plan|idea|
reason|
machine|robot|satellite|rocket|planet|library|museum|theater|hospital|school|factory|office|market|bakery|
puppy|kitten|horse|sheep|goose|rabbit|squirrel|owl|sparrow|spider|beetle|butterfly|dolphin|whale|elephant|
tiger|
potato|tomato|onion|carrot|pepper|apple|orange|lemon|banana|strawberry|pancake|sandwich|cheese|honey|
vinegar"""
KINDS = """small|large|huge|tiny|old|new|ancient|modern|broken|shiny|dusty|heavy|light|bright|dark|quiet|
noisy|
strange|ordinary|beautiful|ugly|expensive|cheap|wooden|golden|purple|yellow|pale green|deep blue|round|
narrow|wide|
famous|forgotten|empty|crowded|frozen|warm|delicious|bitter|dangerous|harmless|curious|clever|lazy|brave|
nervous|
enormous|mysterious|ridiculous|wonderful|terrible|complicated|simple|perfectly normal|rather unusual|
extremely rare"""
DID = """found|lost|bought|sold|painted|repaired|opened|closed|carried|dropped|borrowed|returned|described|
admired|ignored|remembered|forgot|noticed|watched|followed|measured|cleaned|washed|moved|hid|kept|wanted|
needed|
liked|loved|hated|feared|recognized|photographed|drew|broke|built|burned|buried|examined|discovered|mentioned|
promised us|showed me|gave her|sent him|brought them|lent us|refused to touch|tried to lift|managed to save|
decided to keep|began to doubt|could hardly see|would never sell|should have locked|might have stolen"""
DO = """find|lose|buy|sell|paint|repair|open|close|carry|drop|borrow|return|describe|ignore|remember|forget|
notice|watch|follow|measure|clean|wash|move|hide|keep|want|need|like|throw away|pick up|look after|put back|
turn on|switch off|bring back|explain|photograph|draw|break|build|bury|examine|choose|share|finish|taste|
try"""
HOW = """slowly|quickly|carefully|quietly|suddenly|at last|of course|as usual|without a word|with great care|
in a hurry|by accident|on purpose|with a smile|for no reason at all|all by herself|once again|only yesterday|
again and again|more or less|in the end|from time to time|as far as I know|to my surprise|fortunately|
honestly"""
WHERE = """in the garden|behind the house|under the bridge|near the station|on the roof|
at the corner of the street|
beside the river|in the middle of the night|across the field|between the trees|at the edge of the forest|
on the other side of town|upstairs|downstairs|outside|in the cellar|in front of the theater|along the shore|
at the top of the hill|in a small village in the mountains|on the third floor|inside the old factory|
by the sea"""
WHEN = """this morning|last night|yesterday|tomorrow|on Monday|every Thursday|in September|two weeks ago|
a long time ago|before breakfast|after the concert|during the storm|when the bell rang|while it was raining|
as soon as the sun came up|until midnight|since the beginning of the year|in nineteen eighty-four|
at half past seven|at a quarter to nine|in about an hour|once a month|on the first day of spring|
for thirty years"""
BECAUSE = """because nobody had asked|because the road was closed|although it was far too late|
so that the children could sleep|if the weather allows it|unless somebody stops them|
even though it cost a fortune|
since there was nothing else to do|which surprised everybody|which is exactly what I expected|
who had never been there before|as if nothing had happened|before anyone could say a word|
while the others were waiting outside|and then everything changed|but it did not help at all|
and that was the end of it|or so they say|but I am not so sure|and I would do it again"""
SAID = (
    "said|asked|whispered|shouted|answered|explained|muttered|replied|insisted|laughed|sighed|added|warned us"
)
CRIES = """What a surprise|How wonderful|Oh no|Watch out|Come here|Stop that|Hurry up|Well done|Good heavens|
Never again|Of course not|Absolutely|I knew it|Help|Hooray|Look at that|That is amazing|You must be joking|
Not now|Be careful|Congratulations|Happy birthday|Get out of my way|We won|It works|I can't believe it"""
SHORT = """Yes.|No.|Maybe.|Hello.|Goodbye.|Thanks.|Sorry?|Why?|Really?|Right.|Okay.|Please.|Exactly.|Listen.|
Who?|Tomorrow.|Nothing.|Good morning.|Thank you.|See you soon.|Not yet.|How much?|What time?|Of course.|
I see.|
Never mind.|After you.|Guess what?|Good night.|Come in.|Take care.|So what?|Here we go.|My name is {who}.|
Two, please.|Left or right?|It depends.|That's all.|Who's there?|Let's go.|Too late.|One moment, please."""
TWISTERS = """She sells sea shells by the sea shore|
Six thick thistle sticks stuck in the thick thistle thicket|
Red lorry, yellow lorry, red lorry, yellow lorry|Peter's purple parrot pecked a pickled pepper|
Fresh fried fish, fish fresh fried, fried fish fresh|Which witch wished which wicked wish|
Three free throws, three free throws, three free throws|A big black bug bit a big brown bear|
Unique New York, you know you need unique New York|Toy boat, toy boat, toy boat, toy boat|
Seven slippery snakes slid slowly southward|Betty bought better butter but the better butter was bitter|
Freshly fried flying fish|Eleven benevolent elephants ate eleven oranges|
Truly rural, truly rural, truly rural|
The sixth sick sheik's sixth sheep is sick|Lesser leather never weathered wetter weather better|
Blue glue gun, green glue gun, blue glue gun|How can a clam cram in a clean cream can|
Willy's real rear wheel|Thirty-three thirsty thieves thought they thrilled the throne all Thursday"""
OPENINGS = """I think that|It seems that|They told us that|Everyone knows that|As you can see,|In my opinion,|
According to the newspaper,|To be honest,|First of all,|On the one hand,|Meanwhile,|However,|For example,|
Years later,|The truth is that|Believe it or not,|Once upon a time,|Without warning,|
I have often wondered whether|
It is not true that|There was a time when|Nobody could explain why|I'm afraid that|Luckily,|In other words,"""
ABOUT = """The {kind} {thing} {where} belongs to {who}|There is a {kind} {thing} {where}|
It was {kind} and {kind}|
The {thing} was {kind}, the {thing} was {kind}, and nothing was left of the {thing}|
{who} is taller than {who}|{who} and {who} live {where}|It costs {number} dollars and {small} cents|
The {thing} is {number} meters long and {small} meters wide|We counted {number} {thing}s {where}|
The {thing} number {number} leaves at {small} o'clock from platform {small}|
About {small} percent of them are {kind}|
Not every {thing} is as {kind} as this one|The {kind} one is mine and the {kind} one is yours|
My phone number is {digits}|In the year {year}, the {thing} was finally finished|
Nothing is more {kind} than a {kind} {thing}|The more I look at the {thing}, the more {kind} it seems"""
ASKS = """Did {who} {do} the {thing} {when}|Why did {who} {do} my {thing}|Where is the {kind} {thing}|
Have you ever seen such a {kind} {thing}|Who {did} the {thing} {where}|
What would you do with a {kind} {thing}|
Is it true that {who} {did} the {thing}|Can you {do} this {thing} before {small} o'clock|
How many {thing}s are there {where}|Would you like a {thing} or a {thing}|
Do you want to {do} it now, or {when}|
Which {thing} is {kind}, this one or that one|You {did} the {thing}, didn't you|
When will {who} {do} the {thing}|
Could you please {do} the {thing} {where}|Shall we {do} the {thing}, the {thing}, or both"""
CLOSED = {
    "who": PEOPLE, "thing": THINGS, "kind": KINDS, "did": DID, "do": DO, "how": HOW, "where": WHERE,
    "when": WHEN, "because": BECAUSE, "said": SAID, "cry": CRIES, "opening": OPENINGS,
}  # fmt: skip
WORDS = {
    name: [word.strip() for word in table.replace("\n", "").split("|")] for name, table in CLOSED.items()
}


def sentences(number: int, seed: int) -> list[str]:
    """So many different sentences."""
    chance = random.Random(seed)
    made: dict[str, None] = {}
    for _ in range(50 * number):
        if len(made) == number:
            return list(made)
        made[_tidy(_kind(chance)(chance))] = None
    raise ValueError(f"This grammar has no {number} different sentences; {len(made)} were found.")


def hard(number: int, seed: int) -> list[str]:
    """Sentences on which a model that may skip or repeat would: twisters, repeated words, lists, long texts.

    Every 25th is a paragraph of about 300 words.
    """
    chance = random.Random(seed)
    kinds = (_two_twisters, _repeated, _listed, _two_twisters, _long)
    made: dict[str, None] = {}
    while len(made) < number:
        paragraph = len(made) % 25 == 24
        text = _tidy(_paragraph(chance) if paragraph else kinds[len(made) % len(kinds)](chance))
        if not re.search("(?i)one,? one|willy", text):  # a recogniser writes 111, and Willie
            made[text] = None
    return list(made)


def uncommon(number: int, seed: int, words: Sequence[str]) -> list[str]:
    """Strings of words from a dictionary, for the sounds that everyday words lack."""
    chance = random.Random(seed)
    made = []
    for _ in range(number):
        drawn = chance.sample(words, chance.randint(2, 9))
        joint = chance.choice([" ", ", ", " "])
        made.append(_tidy(joint.join(drawn) + chance.choice("..!?")))
    return made


def _kind(chance: random.Random) -> Callable[[random.Random], str]:
    kinds = {
        _statement: 30, _about: 14, _question: 14, _dialogue: 10, _exclaimed: 6, _listed: 6, _short: 6,
        _repeated: 4, _twister: 3, _long: 12,
    }  # fmt: skip
    return chance.choices(list(kinds), list(kinds.values()))[0]


def _filled(template: str, chance: random.Random) -> str:
    def word(match: re.Match[str]) -> str:
        name = match[1]
        if name == "number":
            return str(
                chance.choice([chance.randint(2, 99), chance.randint(100, 9999), chance.randint(2, 19)])
            )
        if name == "small":
            return str(chance.randint(2, 12))
        if name == "year":
            return str(chance.randint(1100, 2050))
        if name == "digits":
            return " ".join(str(chance.randint(0, 9)) for _ in range(chance.randint(4, 8)))
        return chance.choice(WORDS[name])

    return re.sub(r"\{(\w+)\}", word, template)


def _one(table: str, chance: random.Random) -> str:
    return _filled(chance.choice(table.replace("\n", "").split("|")).strip(), chance)


def _clause(chance: random.Random) -> str:
    kind = "{kind} " if chance.random() < 0.5 else ""
    ends = ["", " {where}", " {when}", " {how}", " {where} {when}", " {how} {where}", " {when}, {because}"]
    starts = ["", "", "", "{opening} ", "{opening} ", "{when}, "]
    return _filled(f"{chance.choice(starts)}{{who}} {{did}} the {kind}{{thing}}{chance.choice(ends)}", chance)


def _statement(chance: random.Random) -> str:
    return _clause(chance) + "."


def _about(chance: random.Random) -> str:
    return _one(ABOUT, chance) + chance.choice([".", ".", ".", _filled(", {because}.", chance)])


def _question(chance: random.Random) -> str:
    return _one(ASKS, chance) + chance.choice(["?", "?", _filled(", {because}?", chance)])


def _exclaimed(chance: random.Random) -> str:
    return _filled(chance.choice(["{cry}!", "{cry}, {who}!", "{cry}! The {thing} is so {kind}!"]), chance)


def _dialogue(chance: random.Random) -> str:
    speech = chance.choice([_clause(chance), _one(ASKS, chance) + "?", _filled("{cry}!", chance)])
    end = "" if speech[-1] in "?!" else ","
    form = chance.choice(['"{s}" {who} {said}.', '"{s}" {said} {who} {how}.', '{who} {said}: "{t}."'])
    stripped = speech.rstrip("?!")
    return _filled(form.replace("{s}", speech + end).replace("{t}", stripped), chance)


def _listed(chance: random.Random) -> str:
    things = [_filled(chance.choice(["{thing}", "a {kind} {thing}", "{number} {thing}s"]), chance)
              for _ in range(chance.randint(3, 9))]  # fmt: skip
    lead = chance.choice(["We need", "On the table lay", "She bought", "Do not forget", "He counted", ""])
    return f"{lead} {', '.join(things[:-1])} {chance.choice(['and', 'or', 'and'])} {things[-1]}."


def _short(chance: random.Random) -> str:
    if chance.random() < 0.4:
        return _filled(
            chance.choice(["{thing}.", "{kind}!", "{thing}?", "{how}.", "{where}.", "{when}?"]), chance
        )
    return _one(SHORT, chance)


def _repeated(chance: random.Random) -> str:
    word = chance.choice(["no", "very", "never", "again", "run", "please", "wait", "more", "stop", "had",
                          "that", "really", "far", "bigger", "one", "left", "knock", "go"])  # fmt: skip
    times = chance.randint(2, 6)
    comma = ", ".join([word] * times)
    spaced = " ".join([word] * times)
    who, thing, kind = (_filled(f"{{{name}}}", chance) for name in ("who", "thing", "kind"))
    return chance.choice([
        f"{comma}, said {who}.",
        f"It was a very, very, {'very, ' * (times - 2)}very {kind} {thing}.",
        f"{who} said {spaced} and {spaced}.",
        f"A {thing} is a {thing} is a {thing}, {f'and a {thing} is a {thing}' if times > 3 else 'always'}.",
        f"The {thing} of the {thing} of the {thing} of {who} was {kind}, {kind}, {kind}.",
    ])  # fmt: skip


def _twister(chance: random.Random) -> str:
    return _one(TWISTERS, chance) + chance.choice(".!?")


def _two_twisters(chance: random.Random) -> str:
    first, second = (_one(TWISTERS, chance) for _ in range(2))
    joint = chance.choice([", ", "; ", ", and then ", ". "])
    return f"{first}{joint}{second if joint == '. ' else second[0].lower() + second[1:]}."


def _long(chance: random.Random) -> str:
    parts = [_clause(chance) for _ in range(chance.randint(2, 5))]
    joints = [", and ", ", but ", "; ", ", while ", ", so ", " (at least that is what I heard), and ", " - "]
    text = parts[0]
    for part in parts[1:]:
        text += chance.choice(joints) + _continued(part)
    return text + "."


def _continued(clause: str) -> str:
    """A clause as it is written behind another: an opening loses its capital, a name keeps it."""
    openings = [opening for opening in OPENINGS.replace("\n", "").split("|") if not opening.startswith("I")]
    return clause[0].lower() + clause[1:] if clause.startswith(tuple(openings)) else clause


def _paragraph(chance: random.Random) -> str:
    made: list[str] = []
    while sum(len(sentence.split()) for sentence in made) < 300:
        made.append(_tidy(_kind(chance)(chance)))
    return " ".join(made)


def _tidy(text: str) -> str:
    """One space between words, a capital first, "an" before a vowel."""
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"\b([Aa]) (?=[aeio]|un(?!i)|ug)", r"\1n ", text)
    text = re.sub(r"(?<=[a-z])ys\b(?<=[^aeiou]ys)", lambda m: "ies", text)
    first = next((i for i, c in enumerate(text) if c.isalpha()), 0)
    return text[:first] + text[first].upper() + text[first + 1 :]
