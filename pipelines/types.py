"""What passes between the stages: listen → read → say → render.

Everything here is a frozen dataclass; every tensor is on the CPU. This module
imports nothing of ours, so that what a stage takes and gives can be read on
one screen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

Stage = Literal["listen", "read", "say", "render"]


class InputError(ValueError):
    """Something the person can mend. Its message is one plain sentence and is shown as it is."""


class Unsound(Exception):
    """A stage's numbers are no speech (NaN, silence, an impossible length); the message says so in words.

    An engine raises it where it can tell (logits that are not finite); `synthesis` answers
    by doing the stage again in float32 where it was lowered.
    """


class Cancelled(Exception):
    """The person pressed Stop. Raised by `Run.check`; never shown."""


@dataclass(frozen=True, eq=False)
class Waveform:
    """Mono sound: `samples` (T,) float32 in [-1, 1] at `sample_rate` Hz."""

    samples: Tensor
    sample_rate: int

    @property
    def seconds(self) -> float:
        return self.samples.shape[-1] / self.sample_rate


@dataclass(frozen=True, eq=False)
class Voice:
    """All that an engine remembers of a reference clip.

    `tensors` belong to the engine named `engine` and mean something to it alone.
    `facts` are short plain words about how the voice was made (for example
    ``{"refined": "12 steps"}``), for the page and the recipe.
    """

    engine: str
    tensors: Mapping[str, Tensor]
    transcript: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the voice as one safetensors file."""
        metadata = {"engine": self.engine, "facts": json.dumps(dict(self.facts))}
        if self.transcript is not None:
            metadata["transcript"] = self.transcript
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors.items()}
        save_file(tensors, path, metadata)

    @classmethod
    def load(cls, path: Path) -> Voice:
        """Read what `save` wrote."""
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        return cls(metadata["engine"], tensors, metadata.get("transcript"), json.loads(metadata["facts"]))


@dataclass(frozen=True, eq=False)
class Phrase:
    """One sentence ready for one engine.

    `ids` (L,) int64 are the engine's symbols; `features` (L, D) float32 or None.
    `notes` tell, in plain words, what of the text was read otherwise than written.
    """

    text: str
    ids: Tensor
    features: Tensor | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Units:
    """What the speaking model said: `ids` (K, N) int64, K codebooks, a column a frame of 1 / `rate` s.

    `curves` are named float32 tracks (pitch in Hz, energy …). `score` is a reranker's, higher is better.
    """

    ids: Tensor
    rate: float
    curves: Mapping[str, Tensor] | None = None
    score: float | None = None
    seed: int = 0  # from which `render` draws what it needs of chance
    seconds: float = 0.0  # how long the sound will be; 0 where only rendering tells
    note: str = ""  # what a person should know of how it was said
    whole: bool = True  # False: the sentence is still being said, and this is its beginning


@dataclass(frozen=True)
class Sampling:
    """How to say it: every value means what it says, in every engine, and one's own are `Spec.usual`.

    Engines ignore what they cannot do and say so in their `Spec`.
    """

    temperature: float = 1.0  # 0: always the likeliest
    top_k: int = 0  # 0: no limit
    top_p: float = 1.0
    repetition_penalty: float = 1.0  # 1: none
    seed: int = 0
    max_seconds: float = 60.0  # of one sentence
    speed: float = 1.0  # 2.0 is twice as fast
    candidates: int = 1
    prosody: str = ""  # one of the engine's `Spec.prosodies`; empty: the first
    steps: int = 0  # of a renderer that works in steps, one of `Spec.steps`; 0: as many as is usual there


@dataclass(frozen=True)
class Wish:
    """What the person asked of the hardware. `auto` lets the probe's verdicts decide.

    `stages` are those that a precision asked for by name lowers; empty: all that it can.
    """

    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    precision: str = "auto"  # auto, float32, bfloat16, float16, int8
    stages: tuple[Stage, ...] = ()


@dataclass(frozen=True)
class Consent:
    """The statement "I have the right to use this voice": its wording, and when (ISO 8601, UTC)."""

    wording: str
    when: str


@dataclass(frozen=True, eq=False)
class Request:
    """One thing to say in one voice.

    `voice`, when given, spares `listen`. `refine` asks for the voice brought nearer to the
    reference: kept from an earlier time, or made now. Nothing is said without `consent`.
    `units`, one for every sentence that can be said, are rendered instead of saying anew. Without
    `heal`, a lowered stage that gives no sound is an error instead of being done again in float32.
    With `stream` the first sentence may be heard while it is still being said, by an engine that can.
    """

    engine: str
    text: str
    reference: Waveform
    language: str = "en"
    transcript: str | None = None
    sampling: Sampling = Sampling()
    wish: Wish = Wish()
    consent: Consent | None = None
    voice: Voice | None = None
    refine: bool = False
    units: tuple[Units, ...] | None = None
    heal: bool = True
    stream: bool = False


@dataclass(frozen=True)
class Run:
    """What a stage is handed to stay interruptible: looked at for every ~0.3 s of work.

    `progress(stage, done, total)` counts in whatever the stage counts.
    """

    cancelled: Callable[[], bool] = lambda: False
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None

    def check(self) -> None:
        """Raises `Cancelled` if the person pressed Stop."""
        if self.cancelled():
            raise Cancelled


@dataclass(frozen=True)
class StageReport:
    """One line of the stage table: what a stage took on one sentence (0 for `listen`)."""

    stage: str
    sentence: int
    seconds: float
    device: str
    dtype: str
    note: str = ""


@dataclass(frozen=True, eq=False)
class Piece:
    """A stretch of finished sound, in order: to be played at once. `sentence` counts from 1 to `total`."""

    waveform: Waveform
    sentence: int
    total: int


@dataclass(frozen=True)
class Span:
    """Where a sentence lies in a take: `start` and `end` in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, eq=False)
class Take:
    """A finished request: the whole sound, how it was made, and all that is needed to make it again.

    `recipe` is plain JSON. `notes` are sentences for the person (a healed stage, a fall-back).
    `stopped` is true when the person pressed Stop: the sound is what was made till then. `said` are the
    units of `spans`.
    """

    waveform: Waveform
    spans: tuple[Span, ...]
    said: tuple[Units, ...]
    voice: Voice
    stages: tuple[StageReport, ...]
    notes: tuple[str, ...]
    recipe: Mapping[str, object]
    sha256: str  # of the little-endian float32 samples
    rtf: float  # (read + say + render) seconds / seconds of sound
    stopped: bool = False


@dataclass(frozen=True)
class Spec:
    """What can be known of an engine before it is loaded."""

    name: str
    title: str
    languages: tuple[str, ...]
    sample_rate: int  # Hz
    reference_seconds: tuple[float, float]  # best length of a clip
    samples: bool  # whether temperature, top_k, top_p … mean anything to it
    refines: bool  # whether it has `refine`
    source: str  # where its weights come from, and their licence
    note: str = ""  # what a person should know before using it
    prosodies: tuple[str, ...] = ()  # ways to say a sentence, the default first; none: there is one way
    drawn: tuple[str, ...] = ()  # those of them that sample
    transcript: str = ""  # why the clip's words help it; empty: they mean nothing to it
    usual: Sampling = Sampling()  # what it is tuned to: what a person has who chooses nothing
    steps: tuple[int, ...] = ()  # that its rendering may take, fewest first; none: nothing to choose
    overlong: str = ""  # what becomes of a clip longer than `reference_seconds`; empty: all of it is heard

    def draws(self, prosody: str = "") -> bool:
        """Whether saying in this prosody (empty: the default) is drawn by chance."""
        chosen = prosody or next(iter(self.prosodies), "")
        return self.samples and (chosen in self.drawn or not self.prosodies)


class Engine(Protocol):
    """Four verbs, in the order they happen. Nothing of a request is kept on the engine."""

    sample_rate: int

    def listen(self, reference: Waveform, transcript: str | None, run: Run) -> Voice:
        """What the engine remembers of a reference. Raises `InputError` for a clip it cannot use."""

    def read(self, text: str, language: str) -> Phrase:
        """One sentence as the engine's symbols. Raises `InputError` where there is nothing to say."""

    def say(self, phrase: Phrase, voice: Voice, sampling: Sampling, run: Run) -> list[Units]:
        """Candidates, best first. Raises `Cancelled`."""

    def render(self, units: Units, phrase: Phrase, voice: Voice, run: Run) -> Iterator[Waveform]:
        """Pieces of sound, as they are ready; joined they are the whole. Raises `Cancelled`."""


class Batched(Protocol):
    """An engine that says several sentences in little more time than one."""

    at_once: int  # how many, at most

    def say_all(
        self, phrases: Sequence[Phrase], voice: Voice, sampling: Sampling, seeds: Sequence[int], run: Run
    ) -> list[list[Units]]:
        """What `say` gives for each, with its own of `seeds`; in float32 the same as said alone."""


class Streamer(Protocol):
    """An engine whose sentences can be heard while they are still being said.

    What is heard cannot be taken back: a sentence that comes out badly is not said again, but told of in
    the note of its units. How it is cut into pieces follows from the units alone, never from time.
    """

    def streams(self, phrase: Phrase, sampling: Sampling) -> bool:
        """Whether it can do so with this sentence, and whether that is worth while."""

    def say_on(
        self, phrase: Phrase, voice: Voice, sampling: Sampling, run: Run, begun: Units | None = None
    ) -> Iterator[Units]:
        """All that is said so far, again and again, at last the whole. `begun` was said before: it goes on
        from there, with the same draws of chance. Raises as `say` does."""

    def render_on(self, said: Iterable[Units], phrase: Phrase, voice: Voice, run: Run) -> Iterator[Waveform]:
        """Pieces of sound of what `say_on` gives, as soon as they can be had. Raises as `render` does."""


class Refiner(Protocol):
    """An engine that can bring a voice nearer to its reference."""

    def refine(self, voice: Voice, reference: Waveform, run: Run) -> Voice:
        """A voice nearer to the reference. On Stop it gives the best so far instead of raising."""


class Forced(Protocol):
    """An engine whose speaking model is autoregressive, and tells what it would have said at each step."""

    def logits(
        self, units: Units, phrase: Phrase, voice: Voice, sampling: Sampling, run: Run
    ) -> list[Tensor]:
        """Teacher-forced: for each row k of `units.ids`, raw logits (N, V_k) float32 of its N frames."""


class Nudger(Protocol):
    """An engine that can move a voice a little, where nothing is drawn by chance that could be drawn anew."""

    def nudge(self, voice: Voice, seed: int) -> Voice:
        """The voice moved by about a hundredth of what voices differ by."""
