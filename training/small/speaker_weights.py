"""Makes assets/small/speaker.safetensors from the weights inside Resemblyzer's wheel (Apache-2.0).

python -m training.small.speaker_weights Resemblyzer-0.1.4-py3-none-any.whl
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from pipelines.layers.speaker import SpeakerEncoder

MEMBER = "resemblyzer/pretrained.pt"
OUT = Path(__file__).parents[2] / "assets" / "small" / "speaker.safetensors"


def official_state(wheel: Path) -> dict[str, Tensor]:
    """The tensors of the wheel's checkpoint, under their own names; nothing in it is executed."""
    with zipfile.ZipFile(wheel) as archive:
        data = io.BytesIO(archive.read(MEMBER))
    return torch.load(data, map_location="cpu", weights_only=True)["model_state"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--dtype", choices=("float16", "float32"), default="float16")
    args = parser.parse_args()
    wanted = SpeakerEncoder().state_dict().keys()
    state = official_state(args.wheel)
    kept = {name: state[name].to(getattr(torch, args.dtype)).contiguous() for name in wanted}
    save_file(kept, OUT, {"source": "Resemblyzer 0.1.4, Apache-2.0"})
    print(f"{OUT.name}: {OUT.stat().st_size / 1e6:.2f} MB; left out: {sorted(state.keys() - wanted)}")


if __name__ == "__main__":
    main()
