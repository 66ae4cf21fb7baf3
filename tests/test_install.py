"""Official files: found by what they hold, fetched from a stand-in of the hub, verified, removed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipelines import hub as downloads
from pipelines import install
from pipelines.catalogue import File
from pipelines.device import Placement
from pipelines.engines import gpt_sovits
from pipelines.engines.gpt_sovits.catalogue import CATALOGUE
from pipelines.hub import SETBACKS, Setback
from pipelines.install import Store, main
from pipelines.types import Cancelled, InputError, Run
from tests import hub as stand_in
from tests import official_gpt_sovits as official
from tests.hub import FILES, Hub, serving

ROOT = Path(__file__).parents[1]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(FILES) as hub:
        yield hub


@pytest.fixture
def store(hub, models) -> Store:
    return Store(models, engines=stand_in.engines(), endpoint=hub.address, patience=0.01)


def states(store: Store) -> dict[str, str]:
    return {state.edition.name: state.state for state in store.survey("toys")}


def leftovers(store: Store) -> list[str]:
    """Everything under the folder of models that is no converted part, as paths."""
    inside = (path for path in store.models.rglob("*") if path.is_file())
    return sorted(
        str(path.relative_to(store.models))
        for path in inside
        if path.parent.parent != store.models / "toys"
        and path not in (store.inbox / ".lock", store.models / "toys" / "config.json")
    )


def fetched(hub: Hub, name: str) -> int:
    return sum((method, file) == ("GET", name) for method, file, _ in hub.asked)


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_what_is_missing_is_named_with_repository_files_and_bytes(store):
    first = store.survey("toys")[0]
    assert first.state == "missing" and [part.part.name for part in first.missing] == ["ears", "one"]
    assert first.to_fetch == sum(
        len(FILES[n]) for n in ("ears/model.bin", "ears/config.json", "mouth-one.ckpt")
    )
    assert {part.part.repository for part in first.missing} == {"toys/Toy"}


def test_an_edition_is_fetched_converted_and_leaves_nothing_behind(store, hub):
    heard = []
    result = store.install("toys", "one", Run(), heard.append)
    assert result[0].state == "installed" and states(store)["two"] == "part"
    assert leftovers(store) == []
    fetched = [step for step in heard if step.stage == "fetch"]
    assert (
        fetched[0].done == 0
        and fetched[-1].done
        == fetched[-1].total
        == result[0].parts[0].part.size + result[0].parts[1].part.size
    )
    assert all(a.done <= b.done for a, b in zip(fetched, fetched[1:], strict=False))
    assert [step.name for step in heard if step.stage == "convert"] == ["model.bin", "mouth-one.ckpt"]


def test_what_two_editions_share_is_fetched_once(store, hub):
    store.install("toys", "one", Run())
    store.install("toys", "two", Run())
    names = [name for method, name, _ in hub.asked if method == "GET"]
    assert names.count("ears/model.bin") == 1 and states(store)["two"] == "installed"


def test_a_broken_connection_is_resumed_by_a_range(store, hub):
    hub.cut = [20_000, 30_000]
    store.install("toys", "two", Run())
    assert states(store)["two"] == "installed"
    assert hub.ranges_asked == ["bytes=20000-", "bytes=50000-"]


def test_a_download_that_broke_for_good_goes_on_at_the_next_install(store, hub):
    hub.cut = [30_000] + [0] * 3
    with pytest.raises(Setback, match="broke after 30 kB of 60 kB") as caught:
        store.install("toys", "one", Run())
    assert caught.value.kind == "broken" and states(store)["one"] == "missing"
    assert store.survey("toys")[0].missing[0].fetched == 30_000 + len(FILES["ears/config.json"])
    heard = []
    store.install("toys", "one", Run(), heard.append)
    assert "bytes=30000-" in hub.ranges_asked
    assert next(step.done for step in heard if step.stage == "fetch") > 30_000


def test_a_server_without_ranges_gives_the_whole_again(store, hub):
    hub.ranges, hub.cut = False, [25_000]
    heard = []
    store.install("toys", "one", Run(), heard.append)
    last = [step for step in heard if step.stage == "fetch"][-1]
    assert states(store)["one"] == "installed" and last.done == last.total


def test_stop_is_looked_at_while_bytes_come_and_what_came_stays(store, hub):
    hub.pace = 0.02
    stop = threading.Event()

    def tell(step):
        if step.stage == "fetch" and step.done > 20_000:
            stop.set()

    with pytest.raises(Cancelled):
        store.install("toys", "one", Run(stop.is_set), tell)
    assert 20_000 < store.survey("toys")[0].missing[0].fetched < 60_000
    hub.pace = 0.0
    store.install("toys", "one", Run())
    assert hub.ranges_asked and states(store)["one"] == "installed"


def test_other_bytes_than_the_published_are_refused_and_deleted(store, hub):
    hub.spoilt = True
    with pytest.raises(Setback, match="came damaged: its sha256 begins") as caught:
        store.install("toys", "one", Run())
    assert caught.value.kind == "damaged"
    assert states(store)["one"] == "missing" and leftovers(store) == []


def test_another_file_under_a_published_name_is_not_fetched(store, hub):
    hub.files["mouth-one.ckpt"] = stand_in.content("mouth", "one", 40_000).replace(b"\x07", b"\x08")
    with pytest.raises(Setback, match="another mouth-one.ckpt than the one that was published"):
        store.install("toys", "one", Run())
    assert not [1 for method, name, _ in hub.asked if (method, name) == ("GET", "mouth-one.ckpt")]
    hub.files["mouth-one.ckpt"] += b"longer"
    with pytest.raises(Setback, match="bytes instead of"):
        store.install("toys", "one", Run())


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda hub: hub.lost.add("ears/model.bin"), "gone"),
        (lambda hub: setattr(hub, "closed", True), "closed"),
        (lambda hub: setattr(hub, "status", 503), "refused"),
        (lambda hub: setattr(hub, "status", 416), "refused"),
    ],
)
def test_what_the_hub_refuses_is_said_in_words(store, hub, change, kind):
    change(hub)
    with pytest.raises(Setback) as caught:
        store.install("toys", "one", Run())
    assert caught.value.kind == kind and "Traceback" not in str(caught.value)
    assert states(store)["one"] == "missing"


def test_offline_is_said_in_words(models):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        store = Store(
            models, engines=stand_in.engines(), endpoint=f"http://127.0.0.1:{nobody.getsockname()[1]}"
        )
        with pytest.raises(Setback, match="toys/Toy cannot be reached") as caught:
            store.install("toys", "one", Run())
    assert caught.value.kind == "offline" and "official" in str(caught.value)


def test_the_hubs_own_offline_switch_is_heeded(store, hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Setback, match="cannot be reached"):
        store.install("toys", "one", Run())
    assert hub.asked == []


def test_a_disk_without_room_is_told_before_anything_is_fetched(store, hub, monkeypatch):
    usage = shutil.disk_usage(store.models)._replace(free=1_000_000)
    monkeypatch.setattr(install.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(Setback, match="has 1 MB free, and this needs 200 MB"):
        store.install("toys", "one", Run())
    assert hub.asked == []


def test_a_disk_that_fills_up_is_told_and_what_came_stays(store, hub, monkeypatch):
    def full(self, chunk, out, count):
        take(self, chunk, out, count)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    take = downloads._Download._take
    monkeypatch.setattr(downloads._Download, "_take", full)
    with pytest.raises(Setback) as caught:
        store.install("toys", "one", Run())
    assert caught.value.kind == "disk"
    monkeypatch.setattr(downloads._Download, "_take", take)
    store.install("toys", "one", Run())
    assert states(store)["one"] == "installed"


def test_files_are_known_by_what_they_hold_whatever_their_name(store, hub, tmp_path):
    ears = put(store.inbox, "some/where/x.bin", FILES["ears/model.bin"])
    put(store.inbox, "some/where/config.json", FILES["ears/config.json"])
    put(store.inbox, "my file.pt", FILES["mouth-one.ckpt"])
    assert states(store) == {"one": "found", "two": "part", "letters": "missing"}
    store.install("toys", "one", Run(), fetching=False)
    assert states(store)["one"] == "installed" and hub.asked == []
    assert ears.is_file()  # what a person put there stays


def test_files_are_found_in_the_folder_that_was_named(models, tmp_path):
    for name, content in FILES.items():
        put(tmp_path / "mine", name, content)
    store = Store(models, [tmp_path / "mine"], stand_in.engines())
    assert set(states(store).values()) == {"found"}


def test_ones_own_file_does_the_same_as_the_published(store, hub):
    put(store.inbox, "mine.ckpt", stand_in.content("mouth", "one", 40_001))
    part = store.survey("toys")[0].parts[1]
    assert (part.state, part.own) == ("found", True)
    store.install("toys", "one", Run())
    assert [name for method, name, _ in hub.asked if method == "GET"] == [
        "ears/config.json",
        "ears/model.bin",
    ]
    assert store.survey("toys")[0].parts[1].own
    store.install("toys", "one", Run(), own=False)  # the published one after all
    assert not store.survey("toys")[0].parts[1].own and fetched(hub, "mouth-one.ckpt") == 1


def test_half_of_a_pair_is_told_and_the_rest_is_used(store, hub):
    put(store.inbox, "mouth-one.ckpt", FILES["mouth-one.ckpt"])
    with pytest.raises(Setback, match="not here yet: ears/model.bin"):
        store.install("toys", "one", Run(), fetching=False)
    assert store.survey("toys")[0].parts[1].state == "installed"
    with pytest.raises(Setback, match="No files for two were found"):
        Store(store.models / "elsewhere", engines=stand_in.engines()).install(
            "toys", "two", Run(), fetching=False
        )


def test_a_hostile_file_is_named_and_not_used(store):
    put(store.inbox, "voice.pth", b"EVIL os.system\n")
    put(store.inbox, "song.bin", b"la la la")
    troubles = {seen.path.name: seen.trouble for seen in store.look("toys", Run())}
    assert "os.system" in troubles["voice.pth"] and "nothing that a toy" in troubles["song.bin"]
    assert set(states(store).values()) == {"missing"}


def test_links_out_of_the_folder_are_not_followed(store, tmp_path):
    put(tmp_path / "outside", "mouth-one.ckpt", FILES["mouth-one.ckpt"])
    store.inbox.mkdir(parents=True)
    (store.inbox / "out").symlink_to(tmp_path / "outside")
    assert store.look("toys", Run()) == []


def test_a_conversion_that_fails_keeps_what_was_fetched(hub, models):
    def failing(source, folder, version=""):
        raise InputError(f"{source.name} does not fit.")

    broken = Store(models, engines=stand_in.engines(failing), endpoint=hub.address)
    with pytest.raises(InputError, match="does not fit"):
        broken.install("toys", "letters", Run())
    hub.status = 503
    store = Store(models, engines=stand_in.engines(), endpoint=hub.address)
    assert states(store)["letters"] == "found"
    store.install("toys", "letters", Run(), fetching=False)
    assert states(store)["letters"] == "installed" and leftovers(store) == []


def test_a_damaged_part_counts_as_missing(store, hub):
    store.install("toys", "letters", Run())
    (store.models / "toys" / "more" / "model.safetensors").unlink()
    assert states(store)["letters"] == "missing"


def test_removing_spares_what_another_edition_needs(store, hub):
    store.install("toys", "one", Run())
    store.install("toys", "two", Run())
    assert [folder.name for folder in store.removable("toys", "one")] == ["mouth-one"]
    store.remove("toys", "one")
    assert states(store) == {"one": "part", "two": "installed", "letters": "missing"}
    store.remove("toys", "two")
    assert states(store)["one"] == "missing"
    with pytest.raises(Setback, match="Nothing of one can be removed"):
        store.remove("toys", "one")


def test_the_first_edition_speaks_until_another_is_chosen(store, hub):
    store.install("toys", "letters", Run())
    assert store.chosen("toys") is None
    store.install("toys", "one", Run())
    store.install("toys", "two", Run())
    assert store.chosen("toys") == "one"
    store.choose("toys", "two")
    assert store.chosen("toys") == "two"
    store.remove("toys", "two")
    assert store.chosen("toys") is None
    for name in ("two", "letters"):
        with pytest.raises(Setback, match="is not installed, so it cannot be chosen"):
            store.choose("toys", name)


def test_files_of_ones_own_are_converted_and_speak(store, hub):
    store.install("toys", "one", Run())
    put(store.inbox, "mine.ckpt", stand_in.content("mouth", "one", 41_000))
    put(store.inbox, "theirs.ckpt", stand_in.content("mouth", "one", 42_000))
    found = store.own("toys", store.look("toys", Run()))
    assert [(own.name, own.made) for own in found] == [("mine.ckpt", False), ("theirs.ckpt", False)]
    assert all(len(own.key) == 64 for own in found)
    store.adopt("toys", found[0].key, Run())
    store.prefer("toys", "mine")
    after = store.own("toys", store.look("toys", Run()))
    assert [(own.name, own.made, own.chosen) for own in after] == [
        ("mine", True, True), ("theirs.ckpt", False, False),
    ]  # fmt: skip
    store.choose("toys", "one")
    assert not store.own("toys", ())[0].chosen
    for what in (lambda: store.adopt("toys", "", Run()), lambda: store.prefer("toys", "../../etc")):
        with pytest.raises(Setback, match="no longer here"):
            what()


def test_a_part_of_ones_own_is_removed_and_the_published_one_speaks_again(store, hub):
    store.install("toys", "one", Run())
    mine = put(store.inbox, "mine.ckpt", stand_in.content("mouth", "one", 41_000))
    (found,) = store.own("toys", store.look("toys", Run()))
    store.adopt("toys", found.key, Run())
    store.prefer("toys", "mine")
    assert store.own("toys", ())[0].chosen
    store.discard("toys", "mine")
    assert store.own("toys", ()) == () and mine.is_file()
    assert json.loads((store.models / "toys" / "config.json").read_text())["parts"] == {}
    assert store.chosen("toys") == "one"
    for folder in ("mine", "mouth-one", "../toys/ears", ""):  # what is published goes with its edition
        with pytest.raises(Setback, match="no longer here"):
            store.discard("toys", folder)
    assert states(store)["one"] == "installed"


def test_the_published_part_speaks_again_and_only_in_place_of_the_one_that_was_named(store, hub, monkeypatch):
    store.install("toys", "one", Run())
    for name, size in (("mine", 41_000), ("other", 42_000)):
        put(store.inbox, f"{name}.ckpt", stand_in.content("mouth", "one", size))
    for own in store.own("toys", store.look("toys", Run())):
        store.adopt("toys", own.key, Run())
    assert [own.instead for own in store.own("toys", ())] == [True, True]
    folder = store.models / "toys"
    stand_in.choose(folder, "one", {"mouth": "mine", "ears": "other"})
    store.restore("toys", "mine")
    assert json.loads((folder / "config.json").read_text())["parts"] == {"ears": "other"}
    shutil.rmtree(folder / "mouth-one")
    assert [own.instead for own in store.own("toys", ())] == [False, False]
    with pytest.raises(Setback, match="no longer here"):
        store.restore("toys", "mouth-one")


def test_an_addition_that_comes_or_goes_is_written_down_with_what_speaks(store, hub, monkeypatch):
    store.install("toys", "one", Run())
    told = []
    engine = replace(store.engines["toys"], choose=lambda *what: told.append(what[1:]))
    monkeypatch.setitem(store.engines, "toys", engine)
    store.install("toys", "letters", Run())
    store.remove("toys", "letters")
    assert told == [("one", {})] * 2


@pytest.mark.parametrize("name", ["a\nb.pth", "\udcff\udcfe.pth", "\u202e.pth"])
def test_a_file_whose_name_cannot_be_shown_is_told(store, name):
    try:
        put(store.inbox, name, FILES["more.pth"])
    except OSError:
        pytest.skip("this system takes no such names")
    (seen,) = store.look("toys", Run())
    assert seen.trouble.isprintable() and "rename it" in seen.trouble and seen.part == ""


def test_a_folder_that_cannot_be_looked_into_is_told_and_the_rest_is_found(store, monkeypatch):
    put(store.inbox, "letters/more.pth", FILES["more.pth"])
    put(store.inbox, "locked/x.pth", b"x")
    listing = Path.iterdir

    def refused(folder):
        if folder.name == "locked":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return listing(folder)

    monkeypatch.setattr(Path, "iterdir", refused)
    troubles = [seen.trouble for seen in store.look("toys", Run()) if seen.trouble]
    assert troubles == ["locked cannot be read (Permission denied)."]
    assert states(store)["letters"] == "found"


def test_two_at_once_come_one_after_the_other(store, hub):
    hub.pace = 0.005
    waits, errors = [], []

    def install_two():
        try:
            store.install("toys", "two", Run(), lambda step: waits.append(step.stage))
        except Exception as error:
            errors.append(error)

    second = threading.Thread(target=install_two)

    def tell(step):
        if step.stage == "fetch" and not second.ident:
            second.start()

    store.install("toys", "one", Run(), tell)
    second.join(20)
    assert errors == [] and "wait" in waits
    assert [n for m, n, _ in hub.asked if m == "GET"].count("ears/model.bin") == 1


def test_another_program_in_the_same_folder_is_told(store, hub):
    holding = (
        "import sys; from huggingface_hub.utils import WeakFileLock\n"
        f"with WeakFileLock({str(store.inbox / '.lock')!r}): print('held', flush=True); sys.stdin.read()"
    )
    store.inbox.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", holding], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(Setback, match="Another Myna is installing"):
            store.install("toys", "one", Run())
        other.stdin.close()


def test_unknown_names_are_refused(store):
    with pytest.raises(InputError, match="no engine '../../etc'"):
        store.survey("../../etc")
    with pytest.raises(InputError, match="no version '../two'"):
        store.install("toys", "../two", Run())


def test_the_published_files_of_gpt_sovits_are_all_known_by_sha256():
    files = [file for part in CATALOGUE.parts.values() for file in part.files]
    assert all(len(file.sha256) == 64 and int(file.sha256, 16) and file.size > 0 for file in files)
    assert len({file.sha256 for file in files}) == len(files) == 18
    names = [edition.name for edition in CATALOGUE.editions]
    assert names == ["v1", "v2", "v2Pro", "v2ProPlus", "v3", "v4", "chinese"]
    for edition in CATALOGUE.editions:
        assert CATALOGUE.of(edition)
        assert ("verifier" in edition.parts) == ("Pro" in edition.name)
        assert ("hubert" in edition.parts) == (edition.name != "chinese")


class Evil:
    """Asks whoever unpickles it to run a program."""

    def __reduce__(self):
        return os.system, ("exit 1",)


def test_gpt_sovits_comes_from_the_hub_through_its_own_converter(tmp_path, models):
    """Official-shaped files at toy sizes, whose sizes and sha256 stand in the catalogue for the real ones."""
    files = {}
    official.save_hubert(tmp_path / "hubert", official.filled(official.hubert()))
    official.save_s1(tmp_path / "s1", official.filled(official.speaker()))
    config = {"model": {"upsample_rates": [10, 8, 2, 2, 2], "version": "v2"}}
    official.save_s2(tmp_path / "s2", official.filled(official.decoder()), config)
    for part, paths in {
        "hubert": ("hubert/pytorch_model.bin", "hubert/config.json"), "s1v2": ("s1",), "s2v2": ("s2",),
    }.items():  # fmt: skip
        for file, path in zip(CATALOGUE.parts[part].files, paths, strict=True):
            files[file.name] = (tmp_path / path).read_bytes()

    def small(file: File) -> File:
        content = files.get(file.name, b"")
        return File(file.name, len(content), hashlib.sha256(content).hexdigest())

    parts = {
        name: replace(part, files=tuple(map(small, part.files))) for name, part in CATALOGUE.parts.items()
    }
    engine = replace(install.published()["gpt_sovits"], catalogue=replace(CATALOGUE, parts=parts))
    with serving(files) as hub:
        store = Store(models, engines={"gpt_sovits": engine}, endpoint=hub.address)
        store.inbox.mkdir()
        torch.save({"weight": Evil()}, store.inbox / "evil.pth")
        states = store.install("gpt_sovits", "v2", Run())
    assert {state.edition.name: state.state for state in states}["v2"] == "installed"
    assert {state.edition.name: state.state for state in states}["v2Pro"] == "part"
    assert store.chosen("gpt_sovits") == "v2" and gpt_sovits.missing(models / "gpt_sovits") is None
    assert gpt_sovits.load(models / "gpt_sovits", Placement()).sample_rate == 32_000
    official.save_s2(store.inbox / "anna.pth", official.filled(official.decoder(), seed=1), config)
    (found,) = store.own("gpt_sovits", store.look("gpt_sovits", Run()))
    assert (found.name, found.kind, found.version) == ("anna.pth", "decoder", "v2")
    store.adopt("gpt_sovits", found.key, Run())
    store.prefer("gpt_sovits", "anna")
    assert store.own("gpt_sovits", ())[0].chosen and store.chosen("gpt_sovits") == "v2"
    assert gpt_sovits.missing(models / "gpt_sovits") is None
    troubles = [seen.trouble for seen in store.look("gpt_sovits", Run()) if seen.trouble]
    assert len(troubles) == 1 and "system" in troubles[0]
    assert sorted(path.name for path in store.inbox.iterdir()) == [".lock", "anna.pth", "evil.pth"]


def test_setbacks_name_what_they_are_given():
    names = "repository file inbox status found expected done total free need files edition"
    values = dict.fromkeys(names.split(), "x")
    for kind in SETBACKS:
        assert "{" not in str(Setback(kind, **values))


# ---------------------------------------------------------------------------- the command line


@pytest.fixture
def toys(monkeypatch, hub):
    """The command line on the toy engine and the stand-in."""
    monkeypatch.setattr(install, "ENGINES", {"toys": ""})
    monkeypatch.setattr(install, "published", lambda: stand_in.engines())
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    original = Store.__init__

    def pointed(self, *args, **more):
        original(self, *args, **more, endpoint=hub.address, patience=0.01)

    monkeypatch.setattr(Store, "__init__", pointed)
    return hub


def test_the_command_line_installs_lists_and_says_what_is_wrong(toys, models, tmp_path, capsys):
    where = ["--models", str(models)]
    assert main(["toys", *where, "--list"]) == 0
    listed = capsys.readouterr().out
    assert "toys one: missing, 100 kB to fetch" in listed and "toys/Toy: mouth-one.ckpt" in listed
    assert main(["toys", *where]) == 2
    assert "name one with --version" in capsys.readouterr().err
    assert main(["toys", *where, "--version", "one"]) == 0
    assert capsys.readouterr().out == "toys one: installed\n"
    assert main(["toys", *where, "--version", "three"]) == 2
    assert capsys.readouterr().err.startswith("Toy has no version 'three'; there are one, two, letters.")
    assert main(["toys", *where, "--version", "two", "--local"]) == 2
    put(tmp_path / "mine", "a.ckpt", FILES["two/mouth-two.ckpt"])
    assert main(["toys", *where, "--from", str(tmp_path / "mine")]) == 0
    assert "toys two: installed" in capsys.readouterr().out
    assert main(["toys", *where, "--from", str(tmp_path / "nowhere")]) == 2


def test_a_folder_that_cannot_be_written_is_one_line(toys, models, capsys):
    (models / "official").write_text("a file where a folder should be")
    assert main(["toys", "--models", str(models), "--version", "one"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_command_line_stops_where_it_stands(toys, models, monkeypatch):
    def stopped(*_, **__):
        raise Cancelled

    monkeypatch.setattr(Store, "install", stopped)
    assert main(["toys", "--models", str(models), "--version", "one"]) == 130


def test_the_command_line_knows_its_flags():
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2


def test_hashes_are_of_the_whole_content(store, hub):
    store.install("toys", "letters", Run())
    told = json.loads((store.models / "toys" / "more" / "config.json").read_text())
    assert told["sources"] == {"more.pth": hashlib.sha256(FILES["more.pth"]).hexdigest()}
