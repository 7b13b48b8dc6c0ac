"""Data: generated syllables; folders, zips and manifests of any rate; what cannot be read."""

import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import soundfile
import torch

from unlabeled.build import build
from unlabeled.config.recipes import load_recipe
from unlabeled.config.run import resolve
from unlabeled.data.about import settle
from unlabeled.errors import UsageError
from unlabeled.probes.splits import split
from unlabeled_audio.data.clips import Clips
from unlabeled_audio.data.reading import resample, resampled
from unlabeled_audio.data.syllables import Syllables
from unlabeled_audio.ops.frontends import spectrogram


def tone(seconds, rate, channels=1, pitch=300.0):
    wave = 0.3 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)
    return wave if channels == 1 else np.stack([wave] * channels, 1)


@pytest.fixture
def folder(tmp_path):
    """Four files of four formats, rates and lengths, in two classes."""
    for name, rate, channels in (
        ("a/1.wav", 8000, 1),
        ("a/2.flac", 16000, 2),
        ("b/10.ogg", 16000, 1),
        ("b/9.mp3", 16000, 1),
    ):
        path = tmp_path / "clips" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(0.5, rate, channels), rate)
    return tmp_path / "clips"


def test_syllables_are_the_same_each_time():
    first, again = Syllables(None), Syllables(None)
    a, b = first.__getitems__([5, 599, 0]), again.__getitems__([0, 5, 599])
    assert torch.equal(a.clips()[0], b.clips()[1])
    assert torch.equal(a.clips()[1], b.clips()[2])
    assert not torch.equal(Syllables(None, seed=1).__getitems__([5]).wave[:800], a.clips()[0][:800])


def test_syllables_have_ten_classes_and_six_voices():
    data = Syllables(None)
    assert len(data.classes) == 10
    assert len(data.voices) == 6
    assert sorted(set(data.labels.tolist())) == list(range(10))
    pairs = set(zip(data.labels[~data.test].tolist(), data.speakers[~data.test].tolist(), strict=True))
    assert len(pairs) == 60
    assert int(data.test.sum()) == 120


def test_syllables_are_as_long_as_they_say():
    data = Syllables(None)
    ids = list(range(0, 600, 37))
    batch = data.__getitems__(ids)
    assert [n / 8000 for n in batch.lengths] == pytest.approx(data.seconds[ids].tolist())
    assert float(batch.wave.abs().max()) < 1.0


def test_every_format_rate_and_channel_count_is_read(folder):
    data = Clips(str(folder), 0.0)
    assert (len(data), data.classes, data.spec.rate) == (4, ("a", "b"), 16000)
    assert data.labels.tolist() == [0, 0, 1, 1]
    batch = data.__getitems__([0, 1, 2, 3])
    assert batch.lengths[:2] == (8000, 8000)
    for clip in batch.clips():
        spectrum = torch.fft.rfft(clip).abs()
        assert float(spectrum.argmax()) * 16000 / len(clip) == pytest.approx(300, abs=6)


def test_a_zip_holds_the_same(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "clips.zip", "w") as archive:
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, path.relative_to(folder))
    ours, theirs = Clips(str(folder), 0.0), Clips(str(tmp_path / "clips.zip"), 0.0)
    assert torch.equal(ours.__getitems__([0, 1, 2, 3]).wave, theirs.__getitems__([0, 1, 2, 3]).wave)


def test_a_manifest_names_stretches_labels_speakers_and_the_test(folder, tmp_path):
    (folder / "list.csv").write_text(
        "path,start,end,digit,speaker,split\na/1.wav,0.1,0.3,two,ann,train\na/2.flac,,,one,ben,test\n"
        "a/1.wav,0.25,,one,ann,train\n"
    )
    data = Clips(str(folder / "list.csv"), 0.0, label="digit", rate=8000)
    assert data.classes == ("one", "two")
    assert data.labels.tolist() == [1, 0, 0]
    assert data.voices == ("ann", "ben")
    assert data.test.tolist() == [False, True, False]
    assert data.__getitems__([0, 1, 2]).lengths == (1600, 4000, 2000)
    with pytest.raises(UsageError, match="no column 'digits'"):
        Clips(str(folder / "list.csv"), 0.0, label="digits")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name\na.wav\n", "which has the samples is not clear"),
        ("path,start\na.wav,soon\n", "line 2: start is 'soon'"),
        ("path,start,end\na.wav,2,1\n", "no stretch"),
        ("path\n\n", "has no rows"),
        ("path,label\n,x\n", "line 2: nothing in column path"),
        ("path,label\na.wav\n", "line 2 has 1 fields, and the header has 2"),
        ("path,split\na.wav,somewhere\n", "line 2: split is 'somewhere'"),
    ],
)
def test_a_manifest_that_is_wrong_says_where(tmp_path, text, match):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(UsageError, match=match):
        Clips(str(tmp_path / "list.csv"), 0.0)


def test_a_manifest_has_whatever_a_table_can_say_of_a_clip(folder, tmp_path):
    rows = [
        {"audio_filepath": str(folder / "a/1.wav"), "offset": 0.1, "duration": 0.2, "tags": "dog|rain", "fold": 1},
        {"audio_filepath": "clips/missing.wav", "offset": 0.0, "duration": 0.1, "tags": "rain", "fold": 2},
        {"audio_filepath": "clips/a/2.flac", "offset": 0.0, "duration": 0.3, "tags": "", "fold": 2, "site": "pond"},
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    data = Clips(str(tmp_path / "m.jsonl"), 0.9, labels="tags", group="site", rate=8000)
    assert data.__getitems__([0, 1]).lengths == (1600, 2400)
    assert [name.rpartition("/")[2] for name in data.names] == ["1.wav from 0.1 s", "2.flac from 0 s"]
    assert list(data.bad) == ["clips/missing.wav from 0 s"]
    assert (data.targets.names, data.targets.kind) == (("dog", "rain"), "multilabel")
    assert data.targets.values[0].tolist() == [1, 1]
    assert data.targets.values[1].isnan().all()
    assert data.folds.tolist() == [0, 1]
    assert data.groups[1] == "pond"
    assert data.labels is None
    assert "2 labels of which several may hold (dog, rain)" in data.describe()


def test_numbers_to_predict_follow_the_clips_that_can_be_read(folder):
    (folder / "list.csv").write_text("path,age,who\nb/none.mp3,50,x\nb/9.mp3,31,ann\na/1.wav,,ben\na/2.flac,8.5,ann\n")
    data = Clips(str(folder / "list.csv"), 0.9, target="age", speaker="who")
    assert data.targets.kind == "regression"
    assert data.targets.values[[0, 2], 0].tolist() == [31, 8.5]
    assert data.targets.values[1].isnan().all()
    assert [data.voices[n] for n in data.speakers.tolist()] == ["ann", "ben", "ann"]
    assert Clips(str(folder / "list.csv"), 0.9, target="age").speakers is None


def test_files_of_a_manifest_may_lie_in_a_zip_beside_it(folder):
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.write(folder / "a/1.wav", "inside/1.wav")
    (folder / "list.csv").write_text("path,label\na/1.wav,x\ninside\\1.wav,y\n")
    data = Clips(str(folder / "list.csv"), 0.0)
    batch = data.__getitems__([0, 1])
    assert torch.equal(*batch.clips())


def test_what_one_recording_was_cut_into_stays_on_one_side_of_a_drawn_split(tmp_path):
    for number in range(5):
        soundfile.write(tmp_path / f"{number}.wav", tone(1, 8000), 8000)
    data = Clips(str(tmp_path), 0.0, segment=0.25)
    train, test = split(data, torch.arange(len(data)), seed=0)
    assert (len(train), len(test)) == (16, 4)
    assert len({data.groups[n] for n in test.tolist()}) == 1
    assert Clips(str(tmp_path), 0.0).groups is None, "no recording is cut"


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ("path,label\na/1.wav,train\na/2.flac,test\n", "test, train are classes here"),
        ("path,label\na/1.wav,one\na/2.flac,two\nb/9.mp3,three\n", "3 classes of 3 labeled samples"),
    ],
)
def test_classes_that_look_like_something_else_are_asked_about(folder, rows, match):
    (folder / "list.csv").write_text(rows)
    wrong = Clips(str(folder / "list.csv"), 0.0)
    with pytest.raises(UsageError, match=match):
        settle(wrong, "ask")


def test_a_long_recording_is_read_in_parts(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "long.wav", np.concatenate([tone(1, 8000, pitch=200 + 100 * n) for n in range(7)]), 8000)
    data = Clips(str(tmp_path), 0.0, segment=2.0, cache=0)
    assert len(data) == 4
    assert data.seconds.sum().item() == pytest.approx(7.0)
    read = []
    original = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda self, frames=-1, **k: read.append(frames) or original(self, frames, **k)
    )
    batch = data.__getitems__([3])
    assert read == [14000]
    spectrum = torch.fft.rfft(batch.wave[-8000:]).abs()
    assert int(spectrum.argmax()) == 800


def broken(folder):
    """One file of each kind that cannot be read, by the words that say why."""
    folder.mkdir()
    soundfile.write(folder / "good.wav", tone(0.5, 8000), 8000)
    whole = (folder / "good.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) // 2])
    soundfile.write(folder / "cut2.flac", tone(0.5, 8000), 8000)
    (folder / "cut2.flac").write_bytes((folder / "cut2.flac").read_bytes()[:2000])
    (folder / "empty.wav").write_bytes(b"")
    soundfile.write(folder / "none.wav", np.zeros(0), 8000)
    soundfile.write(folder / "short.wav", tone(0.01, 8000), 8000)
    wrong = tone(0.5, 8000).astype(np.float32)
    wrong[100] = np.nan
    soundfile.write(folder / "nan.wav", wrong, 8000, subtype="FLOAT")
    (folder / "text.mp3").write_text("this is no sound" * 99)
    codec = bytearray(whole)
    codec[20:22] = struct.pack("<H", 0x1234)
    (folder / "codec.wav").write_bytes(bytes(codec))
    return {
        "cut.wav": "cut short",
        "empty.wav": "empty file",
        "none.wav": "no samples",
        "short.wav": "10 ms long",
        "nan.wav": "no numbers",
        "text.mp3": "",
        "codec.wav": "",
        "cut2.flac": "",
    }


def test_what_cannot_be_read_is_named_counted_and_passed_over(tmp_path):
    reasons = broken(tmp_path / "bad")
    data = Clips(str(tmp_path / "bad"), 1.0)
    batch = data.__getitems__(list(range(len(data))))
    assert torch.isfinite(batch.wave).all()
    assert len(batch) == 1, "the one good file"
    assert len(batch.bad) == len(data) - 1
    lines = data.report(batch)
    assert set(data.bad) == set(reasons)
    for name, reason in reasons.items():
        assert reason in data.bad[name]
    assert all(line.startswith("skipped ") for line in lines)
    assert data.report(batch) == []
    assert "8 unreadable skipped" in data.describe()


def test_a_silent_clip_is_readable_and_has_features(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(4000), 8000)
    data = Clips(str(tmp_path), 0.0)
    batch = data.__getitems__([0])
    assert not batch.bad
    assert batch.wave.tolist() == [0.0] * 4000


def test_paths_that_hold_nothing_say_so(tmp_path, folder):
    with pytest.raises(UsageError, match="does not exist"):
        Clips(str(tmp_path / "nowhere"), 0.0)
    (tmp_path / "list.csv").write_text("path\na.wav\n")
    (tmp_path / "no").mkdir()
    with pytest.raises(UsageError, match="has no audio files"):
        Clips(str(tmp_path / "no"), 0.0)
    for column in ({"label": "digit"}, {"start": "begin"}, {"speaker": "who"}):
        with pytest.raises(UsageError, match=f"is no manifest.*leave --data.{next(iter(column))} out"):
            Clips(str(folder), 0.0, **column)
    with pytest.raises(ValueError, match="syllables are generated"):
        Syllables("somewhere")


def test_partners_are_other_clips_that_training_sees():
    data = Syllables(None)
    data.bring(("partner",))
    ids = torch.arange(600)
    other = data.partner_of(ids, 1)
    assert not bool((other == ids).any())
    assert not bool(data.test[other].any())
    assert not torch.equal(other, data.partner_of(ids, 2))
    batch = data.__getitems__([3, 4])
    assert batch.partner_lengths == tuple(data.__getitems__(data.partner_of(batch.ids).tolist()).lengths)
    with pytest.raises(UsageError, match="brings partner alone"):
        data.bring(("near",))


def test_batches_hold_clips_of_like_lengths():
    data = Syllables(None)
    ids = torch.randperm(600, generator=torch.Generator().manual_seed(0))
    arranged = data.arrange(ids, 32)
    assert sorted(arranged.tolist()) == list(range(600))
    assert torch.equal(arranged[576:], ids[576:])
    lengths = data.seconds[arranged].clamp(max=data.spec.seconds)

    def wasted(x):
        rows = x[:576].reshape(-1, 32)
        return float(1 - rows.sum() / (32 * rows.amax(1).sum()))

    assert wasted(lengths) < 0.05 < wasted(data.seconds[ids])
    firsts = lengths[:576].reshape(-1, 32)[:, 0]
    assert not torch.equal(firsts, firsts.sort().values)


def test_batches_by_seconds_cost_the_same():
    data = Syllables(None)
    ids = torch.randperm(600, generator=torch.Generator().manual_seed(0))
    found = data.batches(ids, 32, 1)
    assert len(found) == 600 // 32
    assert sorted(torch.cat(found).tolist()) == sorted(ids[:576].tolist())
    assert {len(batch) % 4 for batch in found} == {0}
    assert len({len(batch) for batch in found}) > 1
    lengths = data.seconds.clamp(max=data.spec.seconds)
    seconds = torch.stack([lengths[batch].sum() for batch in found])
    clips = torch.stack([lengths[batch].sum() for batch in data.arrange(ids, 32)[:576].split(32)])
    # no batch is further from the mean than one step of four clips
    assert float((seconds - seconds.mean()).abs().max()) < 4 * float(lengths.max())
    assert float(seconds.std()) < 0.5 * float(clips.std())
    wasted = 1 - sum(lengths[b].sum() for b in found) / sum(len(b) * lengths[b].max() for b in found)
    assert float(wasted) < 0.05
    assert [b.tolist() for b in data.batches(ids, 32, 2)] == [b.tolist() for b in found], "two ranks share them"
    assert {len(batch) for batch in Syllables(None, batching="clips").batches(ids, 32, 1)} == {32}
    assert {len(batch) for batch in data.batches(ids, 30, 1)} == {30}


@pytest.mark.parametrize(
    ("recipe", "even"),
    [("simclr", True), ("atst_clip", True), ("unfused", True), ("mae", False), ("vq_wav2vec", False)],
)
def test_a_loss_of_clips_has_batches_of_as_many_clips_and_one_of_frames_of_as_many_seconds(recipe, even):
    config = resolve(load_recipe("audio", recipe) | {"data": {"name": "syllables"}}, "audio")
    data = build(config).data
    ids = torch.randperm(600, generator=torch.Generator().manual_seed(0))[:512]
    assert ({len(batch) for batch in data.batches(ids, 32, 1)} == {32}) == even
    chosen = build(config, data=Syllables(None, batching="seconds")).data
    assert {len(batch) for batch in chosen.batches(ids, 32, 1)} != {32}


def test_a_batch_is_cut_and_sent_as_it_was_loaded(folder):
    data = Clips(str(folder), 0.0)
    batch = data.__getitems__([2, 0, 3])
    part = batch[1:3]
    assert torch.equal(part.wave, data.__getitems__([0, 3]).wave)
    assert torch.equal(pickle.loads(pickle.dumps(batch)).wave, batch.wave)  # noqa: S301 - its own
    with pytest.raises(TypeError, match="steps of 1"):
        batch[::2]


def test_rows_of_a_manifest_keep_val_apart_and_have_the_fields_of_its_header(folder):
    (folder / "list.csv").write_text("path,label,split\na/1.wav,x,train\na/2.flac,y,dev\na/1.wav,y,test\n")
    data = Clips(str(folder / "list.csv"), 0.0)
    assert data.test.tolist() == [False, False, True]
    assert data.val.tolist() == [False, True, False]
    assert "1 of val kept apart" in data.describe()
    (folder / "list.csv").write_text("path,label\na/1.wav,x\na/2.flac,dogs, barking\n")
    with pytest.raises(UsageError, match="line 3 has 3 fields, and the header has 2; quote"):
        Clips(str(folder / "list.csv"), 0.0)


@pytest.mark.parametrize("rate", [8000, 22255, 16001])
def test_resampling_keeps_the_tone_at_any_rate(rate):
    found = resample(torch.from_numpy(tone(0.5, 44100)).float(), 44100, rate)
    assert len(found) == resampled(22050, 44100, rate)
    right = torch.from_numpy(tone(0.5, rate)).float()[: len(found)]
    torch.testing.assert_close(found[400:-400], right[400 : len(found) - 400], rtol=0, atol=1e-3)


def test_resampling_is_quick_between_rates_without_a_common_divisor():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(resample(torch.zeros(8000), 16001, 15013)) == resampled(8000, 16001, 15013)
    assert len(resample(torch.zeros(8000), 2_000_003, 16000)) == 64
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 50_000  # KiB


OPEN = [0, 0x7FFFFFFF, 0xFFFFFFFF]


@pytest.mark.parametrize(
    ("kind", "size"),
    [(kind, size) for kind in ("WAV", "AU", "RF64", "W64") for size in OPEN]
    + [("WAV", 0x7FFFF000), ("AU", 0x7FFFF000)],
)
def test_sizes_that_a_writer_left_open_are_read_to_the_end(tmp_path, kind, size):
    path = tmp_path / "clip.wav"
    soundfile.write(path, tone(0.5, 8000), 8000, format=kind, endian="BIG" if kind == "AU" else "FILE")
    raw = bytearray(path.read_bytes())
    at = raw.find(b"data")
    if kind == "WAV":
        raw[4:8] = raw[at + 4 : at + 8] = struct.pack("<I", size)
    elif kind == "AU":
        raw[8:12] = struct.pack(">I", size)
    elif kind == "RF64":
        raw[20:36] = struct.pack("<QQ", size, size)
    else:
        raw[16:24] = raw[at + 16 : at + 24] = struct.pack("<Q", size)
    path.write_bytes(raw)
    assert Clips(str(tmp_path), 0.0).__getitems__([0]).lengths == (4000,)


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("start,duration", "0.1,0.3"),
        ("offset,duration", "0.1,0.3"),
        ("onset,offset", "0.1,0.4"),
        ("Begin_Time,End_Time", "0.1,0.4"),
        ("start,stop", "0.1,0.4"),
        ("start,end,duration", "0.1,0.4,0.3"),
    ],
)
def test_a_stretch_is_read_however_a_manifest_spells_it(folder, head, row):
    (folder / "list.csv").write_text(f"path,{head}\na/1.wav,{row}\n")
    assert Clips(str(folder / "list.csv"), 0.0).__getitems__([0]).lengths == (2400,)


@pytest.mark.parametrize(
    ("head", "row", "match"),
    [
        ("start,end,duration", "0.1,0.4,0.5", "keep one of the columns end and duration"),
        ("start,offset,end", "0.1,0.1,0.4", "all of them the start"),
        ("frame_offset,num_frames", "800,1600", "in samples"),
        ("start,end", "0,inf", "it must be a number"),
        ("start,end", "0,4000", "seconds, not samples"),
    ],
)
def test_a_stretch_that_may_mean_two_things_is_refused(folder, head, row, match):
    (folder / "list.csv").write_text(f"path,{head}\na/1.wav,{row}\n")
    with pytest.raises(UsageError, match=match):
        Clips(str(folder / "list.csv"), 0.0)


@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_16"])
def test_channels_that_cancel_are_no_silence(tmp_path, subtype):
    wave = tone(0.5, 8000)
    soundfile.write(tmp_path / "a.wav", np.stack([0.9999 * wave, -wave], 1), 8000, subtype=subtype)
    batch = Clips(str(tmp_path), 0.0).__getitems__([0])
    assert float((batch.wave - torch.from_numpy(-wave).float()).abs().max()) < 1e-3


def test_a_header_that_claims_what_its_bytes_cannot_hold_is_no_clip(tmp_path):
    soundfile.write(tmp_path / "good.wav", tone(0.5, 8000), 8000)
    soundfile.write(tmp_path / "lies.flac", tone(0.5, 8000), 8000)
    raw = bytearray((tmp_path / "lies.flac").read_bytes())
    raw[21:26] = bytes([raw[21] | 0x0F, *b"\xff\xff\xff\x00"])  # 36 bits: samples in all
    (tmp_path / "lies.flac").write_bytes(raw)
    slow = bytearray((tmp_path / "good.wav").read_bytes())
    slow[24:28] = struct.pack("<I", 1)
    (tmp_path / "slow.wav").write_bytes(slow)
    data = Clips(str(tmp_path), 0.9)
    assert len(data) == 1
    assert "claims" in data.bad["lies.flac"]
    assert "claims 1 samples a second" in data.bad["slow.wav"]


def test_a_stretch_that_cannot_be_read_condemns_nothing_but_itself(tmp_path):
    wave = np.concatenate([tone(2, 8000), np.zeros(16000), tone(1, 8000)]).astype(np.float32)
    wave[39000:39010] = np.nan
    soundfile.write(tmp_path / "field.wav", wave, 8000, subtype="FLOAT")
    data = Clips(str(tmp_path), 0.05, segment=1.0)
    batch = data.__getitems__(range(5))
    assert batch.ids.tolist() == [0, 1, 2, 3], "silence is sound as well"
    assert data.report(batch) == ["skipped field.wav from 4 s: holds values that are no numbers"]


def test_what_is_no_regular_file_is_never_opened(tmp_path):
    soundfile.write(tmp_path / "good.wav", tone(0.5, 8000), 8000)
    os.mkfifo(tmp_path / "pipe.wav")
    assert Clips(str(tmp_path), 0.5).bad == {"pipe.wav": "not a file"}
    for name in ("pipe.zip", "pipe.csv"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(UsageError, match=name):
            Clips(str(tmp_path / name), 0.0)


def test_features_do_not_depend_on_whether_torchaudio_loads(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(0.3, 22050, channels=2), 22050)
    script = (
        "import sys; sys.modules['torchaudio'] = None\n"
        "from unlabeled_audio.data.clips import Clips; from unlabeled_audio.ops.frontends import spectrogram\n"
        f"data = Clips({str(tmp_path)!r}, 0.0); batch = data.__getitems__([0])\n"
        "print(spectrogram(batch.wave, batch.lengths, data.spec).numpy().tobytes().hex())"
    )
    data = Clips(str(tmp_path), 0.0)
    batch = data.__getitems__([0])
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    assert bytes.fromhex(found) == spectrogram(batch.wave, batch.lengths, data.spec).numpy().tobytes()
