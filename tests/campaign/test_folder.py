"""The folder of a campaign: what it holds comes back, what is damaged is told, and nothing stored is lost."""

import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch

from diffmemlib.campaign import folder
from diffmemlib.campaign.folder import (
    FolderError,
    pack_results,
    pack_states,
    read_log,
    read_parts,
    unpack_results,
    unpack_states,
    write_folder,
)
from diffmemlib.experiments.gmm import GmmConfig, run
from diffmemlib.runs.execute import ROUNDED
from diffmemlib.runs.store import complete_result, read_result

SMALL = {"tier": "smoke", "n": 16, "steps": 60, "first": 20, "samples": 100, "milestones": 3, "kept": 5,
         "sampling_steps": 10, "sampler": "ddim", "width": 8}  # fmt: skip
LOG = {
    "checks": {}, "groups": [], "sharing": {}, "failed": [], "made": [], "device": "cpu", "torch": "2", "sources": "0",
}  # fmt: skip
CONFIGS = [GmmConfig.from_parameters({**SMALL, "seed": seed}) for seed in range(3)]


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Two machines: a function that goes to one of them."""

    def go(name: str) -> None:
        monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / name / "results"))
        monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / name / "checkpoints"))

    go("one")
    return go


def unfinished(config: GmmConfig, monkeypatch) -> None:
    """A run that stopped after its second milestone."""
    calls = iter(range(10**6))
    monkeypatch.setattr("diffmemlib.training.stopping.time_budget", lambda _: lambda: next(calls) >= 40)
    assert not run(config, show_progress=False).provenance["complete"]
    monkeypatch.undo()


def test_results_and_states_come_back_on_another_machine(tmp_path, places, monkeypatch):
    whole = run(CONFIGS[0], show_progress=False)
    with monkeypatch.context() as inside:
        unfinished(CONFIGS[1], inside)
    places("one")
    states, told = pack_states(CONFIGS, 2**30)
    assert told == []
    write_folder(tmp_path / "out", LOG, pack_results(CONFIGS)[0], states)
    log = read_log(tmp_path / "out")
    assert set(log["files"]) == {p.name for p in (tmp_path / "out").iterdir()} - {"log.json"}

    places("two")
    new, refused = unpack_results(read_parts(tmp_path / "out", log, "results"))
    assert (new, refused) == ([f"smoke/gmm/{CONFIGS[0].id}"], [])
    assert read_result(CONFIGS[0].result_dir).curves.equals(whole.curves)
    assert unpack_states(read_parts(tmp_path / "out", log, "states")) == [CONFIGS[1].id]
    ended = run(CONFIGS[1], show_progress=False)
    places("three")
    assert ended.curves.equals(run(CONFIGS[1], show_progress=False).curves), "bit for bit the unbroken one"
    assert "rounded_state" not in ended.provenance
    places("two")
    assert unpack_results(read_parts(tmp_path / "out", log, "results")) == ([], []), "a second time brings nothing"
    assert unpack_states(read_parts(tmp_path / "out", log, "states")) == [], "nor takes a stored run back"


def test_a_state_that_is_behind_is_not_taken(tmp_path, places, monkeypatch):
    with monkeypatch.context() as inside:
        unfinished(CONFIGS[1], inside)
    places("one")
    states, _ = pack_states(CONFIGS, 2**30)
    archive = zipfile.ZipFile(io.BytesIO(states))
    assert unpack_states(archive) == [], "the same step is here already"
    for path in CONFIGS[1].checkpoint_dir.glob("*/*"):
        path.unlink()
    assert unpack_states(archive) == [CONFIGS[1].id]
    shutil.rmtree(CONFIGS[1].checkpoint_dir)
    assert not complete_result(CONFIGS[1]) and CONFIGS[1].result_dir.exists()
    assert unpack_states(archive) == [CONFIGS[1].id], "a result that is stored as far as it came is no reason not to"


def test_without_room_states_are_rounded_and_then_left_out(tmp_path, places, monkeypatch):
    for config in CONFIGS[:2]:
        with monkeypatch.context() as inside:
            unfinished(config, inside)
        places("one")
    exact, _ = pack_states(CONFIGS, 2**30)
    one_rounded, told = pack_states(CONFIGS, len(exact) - 1)
    assert [t.split("was ")[1] for t in told] == ["rounded to bfloat16"] and len(one_rounded) < len(exact)
    assert told[0].split()[4] == CONFIGS[1].id, "the last of the order first"
    alone, _ = pack_states(CONFIGS[:1], 2**30)
    room = len(pack_states(CONFIGS[:1], len(alone) - 1)[0])  # of one run, rounded
    one, told = pack_states(CONFIGS, room)
    assert {n[:12] for n in zipfile.ZipFile(io.BytesIO(one)).namelist()} == {CONFIGS[0].id}
    assert told[-1] == f"the state of run {CONFIGS[1].id} was left out, because there was no room"
    assert pack_states(CONFIGS, 0)[0] == b""

    places("two")
    both, _ = pack_states([], 0)
    assert both == b""
    taken = unpack_states(zipfile.ZipFile(io.BytesIO(one_rounded)))
    assert len(taken) == 2
    (rounded,) = (c for c in CONFIGS[:2] if (c.checkpoint_dir / ROUNDED).exists())
    ((checkpoint),) = (rounded.checkpoint_dir / "checkpoints").glob("*.safetensors")
    tensors = safetensors.torch.load(checkpoint.read_bytes())
    weights = [v for k, v in tensors.items() if k.startswith("net.") and v.ndim]
    assert all(torch.equal(v, v.bfloat16().float()) and v.dtype == torch.float32 for v in weights)
    ended = run(rounded, show_progress=False)
    assert ended.provenance["complete"] and ended.provenance["rounded_state"] is True


def test_files_of_others_stay(tmp_path, places):
    """A folder that somebody already has things in: only what a campaign left half written, or has replaced, goes."""
    out = tmp_path / "out"
    (out / ".git").mkdir(parents=True)
    theirs = [".profile", ".log.json", "results-1.zip", "notes.txt"]
    ours = [".log.json.0123456789ab", ".states-01234567.0.0123456789ab", "results-01234567.0"]
    for name in theirs + ours:
        (out / name).write_text("x")
    write_folder(out, LOG, b"", b"")
    assert sorted(p.name for p in out.iterdir()) == sorted([*theirs, ".git", "log.json"])


def of_parts(out: Path, name: str, data: bytes) -> zipfile.ZipFile | None:
    """Content of someone else's making in a folder whose checksums are right."""
    write_folder(out, LOG, **{"results": b"", "states": b"", name: data})
    return read_parts(out, read_log(out), name)


@pytest.mark.parametrize("name", ["results", "states"])
def test_content_that_no_campaign_writes_is_refused(tmp_path, places, name: str):
    with pytest.raises(FolderError, match="are no archive"):
        of_parts(tmp_path / "a", name, b"not a zip")
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0123456789ab/checkpoints/000000001-0123456789abcdef.safetensors", bytes(2**22))
    with pytest.raises(FolderError, match="are compressed, as no campaign writes them"):
        of_parts(tmp_path / "b", name, bomb.getvalue())
    with zipfile.ZipFile(bomb := io.BytesIO(), "w") as archive:
        archive.writestr("0123456789ab/checkpoints/000000001-0123456789abcdef.safetensors", b"garbage")
    if name == "states":
        with pytest.raises(FolderError, match="hold a checkpoint that is none"):
            unpack_states(of_parts(tmp_path / "c", name, bomb.getvalue()))


def test_the_folder_never_holds_more_files_than_it_may(tmp_path, monkeypatch):
    """While new parts are written the old ones stay, since the log still names them."""
    monkeypatch.setattr(folder, "MOST_BYTES", 1000)
    out, counts = tmp_path / "out", []
    write = folder.write_atomic

    def counted(path, data):
        write(path, data)
        counts.append(len(list(out.iterdir())) if out.exists() else 0)
        if path.name == "log.json":
            read_parts(out, read_log(out), "states")

    monkeypatch.setattr(folder, "write_atomic", counted)
    for mark in (b"a", b"b", b"c"):
        states = folder._zip({f"{'1' * 12}/milestones/{1:09d}-{'0' * 16}.npz": mark * 4500})
        folder.write_folder(out, LOG, b"", states)
        assert len(list(out.iterdir())) == 6
    assert max(counts) <= 11 and not list(tmp_path.glob(".out-*"))
    staged = [count for count, following in zip(counts, [*counts[1:], 0], strict=True) if count == following]
    assert set(staged) <= {0, 6}, "while parts are written only the old ones are there"


def test_where_nothing_can_be_written_beside_the_folder_it_is_written_in_it(tmp_path, monkeypatch):
    def refused(**_):
        raise PermissionError("read-only")

    monkeypatch.setattr(folder.tempfile, "TemporaryDirectory", refused)
    (tmp_path / "out").mkdir()
    folder.write_folder(tmp_path / "out", LOG, b"", folder._zip({"x": b"y"}))
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_results_without_room_are_left_out_and_told(places, tmp_path, monkeypatch):
    places("one")
    for config in CONFIGS[:2]:
        run(config, show_progress=False)
    whole, told = pack_results(CONFIGS)
    assert told == []
    part, told = pack_results(CONFIGS, len(whole) - 1)
    assert told == ["1 stored runs were left out, because there was no room"]
    assert {name.split("/")[2] for name in zipfile.ZipFile(io.BytesIO(part)).namelist()} == {CONFIGS[0].id}
    assert pack_results(CONFIGS, 10) == (b"", ["2 stored runs were left out, because there was no room"])


def test_a_run_at_work_is_looked_at_again(tmp_path, places, monkeypatch):
    """Its checkpoints go as others come, between looking and reading."""
    with monkeypatch.context() as inside:
        unfinished(CONFIGS[1], inside)
    places("one")
    read, calls = folder._files, []

    def gone(config):
        calls.append(config.id)
        if len(calls) < 3:
            raise KeyError(7) if len(calls) == 1 else FileNotFoundError
        return read(config)

    monkeypatch.setattr(folder, "_files", gone)
    assert len(folder._state(CONFIGS[1])) == 3
    monkeypatch.setattr(folder, "_files", lambda config: (_ for _ in ()).throw(OSError))
    assert folder._state(CONFIGS[1]) == {}


def test_large_content_comes_in_parts(tmp_path, places, monkeypatch):
    monkeypatch.setattr(folder, "MOST_BYTES", 1000)
    run(CONFIGS[0], show_progress=False)
    packed, _ = pack_results(CONFIGS)
    with pytest.raises(FolderError, match="parts do not fit into 8 files"):
        write_folder(tmp_path / "out", LOG, packed, packed)
    assert not (tmp_path / "out").exists(), "nothing is written that could not be read"
    monkeypatch.setattr(folder, "MOST_BYTES", 4000)
    write_folder(tmp_path / "out", LOG, packed, b"")
    files = list((tmp_path / "out").iterdir())
    assert 2 < len(files) <= 8 and all(p.stat().st_size <= 4000 for p in files if p.name != "log.json")
    write_folder(tmp_path / "out", LOG, packed[:-1] + b"x", b"")
    assert len(list((tmp_path / "out").iterdir())) == len(files), "old parts go when the new log is there"


@pytest.mark.parametrize("damage", ["flip", "remove"])
def test_a_damaged_folder_is_told_and_nothing_stored_is_lost(tmp_path, places, damage: str):
    stored = run(CONFIGS[0], show_progress=False)
    write_folder(tmp_path / "out", LOG, pack_results(CONFIGS)[0], b"")
    log = read_log(tmp_path / "out")
    (part,) = (tmp_path / "out").glob("results-*")
    if damage == "flip":
        data = bytearray(part.read_bytes())
        data[100] ^= 1
        part.write_bytes(data)
    else:
        part.unlink()
    with pytest.raises(FolderError, match="damaged" if damage == "flip" else "missing"):
        read_parts(tmp_path / "out", log, "results")
    assert read_result(CONFIGS[0].result_dir).curves.equals(stored.curves)


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"[]",
        b'{"format": "other", "files": {}}',
        b'{"files": {}}',
        b'{"format": "diffmemlib-campaign/1", "files": {}, "checks": [], "groups": []}',
    ],
)
def test_a_folder_without_a_log_is_told(tmp_path, content):
    if content is not None:
        (tmp_path / "log.json").write_bytes(content)
    with pytest.raises(FolderError, match="is no log of a campaign"):
        read_log(tmp_path)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"checks": []}, "its 'checks' is of another kind"),
        ({"checks": {"a": 1}}, "an entry of its 'checks' lacks outcome or said"),
        ({"groups": [{"runs": []}]}, "an entry of its 'groups' lacks outcome or runs or seconds"),
        ({"device": None}, "its 'device' is of another kind"),
        ({"made": None}, "its 'made' is of another kind"),
    ],
)
def test_a_log_that_was_edited_is_told(tmp_path, other: dict, reason: str):
    whole = LOG | {"format": "diffmemlib-campaign/1", "files": {}}
    for log, said in ((whole | other, reason), ({k: v for k, v in whole.items() if k not in other}, "it has no ")):
        (tmp_path / "log.json").write_text(json.dumps(log))
        with pytest.raises(FolderError, match="is no log of a campaign") as told:
            read_log(tmp_path)
        assert said in str(told.value)
    (tmp_path / "log.json").write_text(json.dumps(whole))
    assert read_log(tmp_path) == whole


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "smoke/gmm/0123456789ab/run.sh", "0123456789ab/../../x"])
def test_entries_that_no_campaign_writes_are_refused(places, name: str):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, b"x")
    for unpack in (unpack_results, unpack_states):
        with pytest.raises(FolderError, match="which no campaign writes: nothing of them was taken"):
            unpack(zipfile.ZipFile(packed))


def test_a_result_that_was_edited_is_refused_and_the_others_taken(tmp_path, places):
    for config in CONFIGS[:2]:
        run(config, show_progress=False)
    packed, changed = zipfile.ZipFile(io.BytesIO(pack_results(CONFIGS)[0])), io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        for name in packed.namelist():
            data = packed.read(name)
            if name == f"smoke/gmm/{CONFIGS[0].id}/config.json":
                data = json.dumps(json.loads(data) | {"lr": 1.0}).encode()
            archive.writestr(name, data)
    places("two")
    new, refused = unpack_results(zipfile.ZipFile(changed))
    assert new == [f"smoke/gmm/{CONFIGS[1].id}"]
    assert len(refused) == 1 and "config.json is damaged" in refused[0]
    assert not CONFIGS[0].result_dir.exists()
