"""The official files of GPT-SoVITS, as they lie on the hub.

Sizes and sha256 are those of the hub's own records, as git-lfs pointers and the lists of several public
projects give them alike. The revision was the head of the repository's main branch in September 2026.
"""

from __future__ import annotations

from pipelines.catalogue import Catalogue, Edition, File, Part

REPOSITORY = "lj1995/GPT-SoVITS"
REVISION = "336b2ec4e8d4ac74740798dd40af44e74659ecaf"
BIGVGAN = "models--nvidia--bigvgan_v2_24khz_100band_256x"


def _part(
    name: str, title: str, kind: str, version: str, *files: tuple[str, int, str],
    licence: str = "MIT", owner: str = "RVC-Boss",
) -> Part:  # fmt: skip
    published = tuple(File(*file) for file in files)
    return Part(name, title, kind, version, published, REPOSITORY, REVISION, licence, owner)


PARTS = (
    _part(
        "hubert", "HuBERT, which hears the reference", "hubert", "",
        ("chinese-hubert-base/pytorch_model.bin", 188_811_417,
         "24164f129c66499d1346e2aa55f183250c223161ec2770c0da3d3b08cf432d3c"),
        ("chinese-hubert-base/config.json", 1_449,
         "c3e5060a1277e0f078cc6be9da4528a605dba6ece93018981fe2c820e5c7b103"),
        owner="TencentGameMate",
    ),
    _part(
        "s1v1", "speaker (s1) of v1", "speaker", "v1",
        ("s1bert25hz-2kh-longer-epoch=68e-step=50232.ckpt", 155_093_966,
         "b1c1e17e9c99547a89388f72048cd6e1b41b5a18b170e86a46dfde0324d63eb1"),
    ),
    _part(
        "s1v2", "speaker (s1) of v2", "speaker", "v2",
        ("gsv-v2final-pretrained/s1bert25hz-5kh-longer-epoch=12-step=369668.ckpt", 155_315_150,
         "732f94e63b148066e24c7f9d2637f3374083e637635f07fbdb695dee20ddbe1f"),
    ),
    _part(
        "s1v3", "speaker (s1) of v2Pro, v2ProPlus, v3 and v4", "speaker", "v2",
        ("s1v3.ckpt", 155_284_856,
         "87133414860ea14ff6620c483a3db5ed07b44be42e2c3fcdad65523a729a745a"),
    ),
    _part(
        "s2v1", "decoder (s2) of v1", "decoder", "v1",
        ("s2G488k.pth", 105_973_721,
         "020a014e1e01e550e510f2f61fae5e5f5b6aab40f15c22f1f12f724df507e835"),
    ),
    _part(
        "s2v2", "decoder (s2) of v2", "decoder", "v2",
        ("gsv-v2final-pretrained/s2G2333k.pth", 106_035_259,
         "924fdccaa3c574bf139c25c9759aa1ed3b3f99e19a7c529ee996c2bc17663695"),
    ),
    _part(
        "s2v2Pro", "decoder (s2) of v2Pro", "decoder", "v2Pro",
        ("v2Pro/s2Gv2Pro.pth", 162_303_657,
         "0f8ead815234365edf045c6d86370ed6e4f440e8195be77ff0ea72684ad406a5"),
    ),
    _part(
        "s2v2ProPlus", "decoder (s2) of v2ProPlus", "decoder", "v2ProPlus",
        ("v2Pro/s2Gv2ProPlus.pth", 200_125_741,
         "d42a22bbbf65fb2bbdd45ad6a66841156977db45c7aabe0a6992ff378d9c7d3b"),
    ),
    _part(
        "s2v3", "decoder (s2) of v3", "decoder", "v3",
        ("s2Gv3.pth", 769_035_145,
         "f33abb1920076d988e1711d5f41b5c9c6d7f92575b4acf0ad4fae6a4ebf0cf19"),
    ),
    _part(
        "s2v4", "decoder (s2) of v4", "decoder", "v4",
        ("gsv-v4-pretrained/s2Gv4.pth", 769_025_545,
         "906fe22f48c3e037a389df291d4d32a9414e15dbb8f9628643e83aaced109ea4"),
    ),
    _part(
        "verifier", "ERes2NetV2, which knows voices apart", "verifier", "",
        ("sv/pretrained_eres2netv2w24s4ep4.ckpt", 107_528_697,
         "4f5a0bf73c61eb41b174e1bb54e7ee3c83233892be8e0af1f187024e8e581a35"),
        licence="Apache-2.0", owner="3D-Speaker",
    ),
    _part(
        "bigvgan", "BigVGAN, the vocoder of v3", "vocoder", "v3",
        (f"{BIGVGAN}/bigvgan_generator.pt", 450_088_331,
         "6f9c5715550c9d0f11159ceb8935638da5aeb19e27d1e63677632df095e376f5"),
        (f"{BIGVGAN}/config.json", 1_402,
         "d77e2c96583ca2296ac112a56ec7cc6bd5da4bf7681ceff18448bedc4fcf6512"),
        owner="NVIDIA",
    ),
    _part(
        "vocoder", "vocoder of v4", "vocoder", "v4",
        ("gsv-v4-pretrained/vocoder.pth", 57_781_109,
         "4d611913df7b12d49e8976c944558d2d096816365edfc6c35a9e85b67dd14ed9"),
    ),
    _part(
        "bert", "RoBERTa, which reads Chinese", "bert", "",
        ("chinese-roberta-wwm-ext-large/pytorch_model.bin", 651_225_145,
         "e53a693acc59ace251d143d068096ae0d7b79e4b1b503fa84c9dcf576448c1d8"),
        ("chinese-roberta-wwm-ext-large/config.json", 963,
         "3d57de2fd7e80d0e5c8ff194f0bbb6baa10df7e43fc262a0cc71298a78b0a3e5"),
        ("chinese-roberta-wwm-ext-large/tokenizer.json", 268_962,
         "173796956820ea27bd14f76bf28162607ff4254807e2948253eb5b46f5bb643b"),
        licence="Apache-2.0", owner="HFL",
    ),
)  # fmt: skip

CATALOGUE = Catalogue(
    engine="gpt_sovits",
    title="GPT-SoVITS",
    home="RVC-Boss/GPT-SoVITS",
    parts={part.name: part for part in PARTS},
    editions=(
        Edition("v1", "v1", ("hubert", "s1v1", "s2v1"), 32_000),
        Edition("v2", "v2", ("hubert", "s1v2", "s2v2"), 32_000),
        Edition("v2Pro", "v2Pro", ("hubert", "s1v3", "s2v2Pro", "verifier"), 32_000),
        Edition("v2ProPlus", "v2ProPlus", ("hubert", "s1v3", "s2v2ProPlus", "verifier"), 32_000),
        Edition("v3", "v3", ("hubert", "s1v3", "s2v3", "bigvgan"), 24_000),
        Edition("v4", "v4", ("hubert", "s1v3", "s2v4", "vocoder"), 48_000),
        Edition("chinese", "Chinese text", ("bert",)),
    ),
    own=("speaker", "decoder", "lora"),
)
