"""Data sets end to end: what is read, dropped, split and refused; batches by length; partners; the store on disk."""

import json
import os
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from torch.utils.data import DataLoader

from unlabeled.cli import main
from unlabeled.contract import Batch, Data
from unlabeled.errors import UsageError
from unlabeled_text.data import partners
from unlabeled_text.data.batching import arrange
from unlabeled_text.data.partners import at_rank, far, following, graph_places, linked
from unlabeled_text.data.reading import Columns, records_of
from unlabeled_text.data.reading import read as records
from unlabeled_text.data.sentences import Sentences
from unlabeled_text.data.tables import Tables
from unlabeled_text.data.tasks import Choices, Tagged
from unlabeled_text.data.texts import Texts

WORDS = list("abcdefghijklmno")


def lines(count=40):
    return [" ".join(WORDS[(i + j) % len(WORDS)] for j in range(2 + i % 9)) + f" n{i}" for i in range(count)]


def file_of(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
    return str(path)


def read(path, max_bad=0.0, **settings):
    return Texts(path, max_bad, **{"tokenizer": "bytes", "cache": "none", **settings})


# ---------------------------------------------------------------------------------------------- reading


def test_lines_paragraphs_and_documents(tmp_path):
    path = file_of(tmp_path, "a.txt", "one\ntwo\n\n\nthree four\n")
    assert read(path).texts([0, 1, 2]) == ["one", "two", "three four"]
    assert read(path, sample="paragraph").texts([0, 1]) == ["one two", "three four"]
    assert read(path, sample="document").texts([0]) == ["one\ntwo\n\n\nthree four"]
    found = read(path)
    assert found.documents.tolist() == [0, 0, 1], "an empty line ends a document"


def test_tables_jsonl_and_parquet_say_the_same(tmp_path):
    rows = [{"text": 'a "quoted" text', "label": "x"}, {"text": "another, with a comma", "label": "y"}]
    tsv = file_of(tmp_path, "a.tsv", "text\tlabel\n" + "".join(f"{r['text']}\t{r['label']}\n" for r in rows))
    quoted = 'text,label\n"a ""quoted"" text",x\n"another, with a comma",y\n'
    csv, jsonl = file_of(tmp_path, "a.csv", quoted), file_of(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))
    paths = [tsv, csv, jsonl]
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is an extra")
    import pyarrow

    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    for path in (*paths, str(tmp_path / "a.parquet")):
        found = read(path)
        assert found.texts([0, 1]) == [r["text"] for r in rows]
        assert found.classes == ("x", "y")
        assert found.labels.tolist() == [0, 1]


def test_a_folder_with_train_and_test(tmp_path):
    file_of(tmp_path, "train.tsv", "text\tlabel\none\t0\ntwo\t1\nshared\t0\n")
    file_of(tmp_path, "test.tsv", "text\tlabel\nthree\t1\nshared\t1\n")
    found = read(str(tmp_path))
    seen = dict(zip(found.texts(range(len(found))), found.test.tolist(), strict=True))
    assert seen == {"one": False, "two": False, "three": True, "shared": True}, "what is in both is held out"
    assert "1 duplicates left out" in found.describe()


@pytest.mark.parametrize("names", [("train.txt", "dev.txt", "test.txt"), ("train/a.txt", "valid/a.txt", "test/a.txt")])
def test_val_beside_test_is_kept_apart(tmp_path, names):
    for name, word in zip(names, ("one", "two", "three"), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        file_of(tmp_path, name, f"{word} text\n")
    found = read(str(tmp_path))
    sides = {
        t.split()[0]: (bool(a), bool(b)) for t, a, b in zip(found.texts(range(3)), found.test, found.val, strict=True)
    }
    assert sides == {"one": (False, False), "two": (False, True), "three": (True, False)}
    (tmp_path / names[2]).unlink()
    alone = read(str(tmp_path))
    assert alone.val is None
    assert int(alone.test.sum()) == 1, "val alone is the test"


def test_a_table_says_sides_groups_folds_and_numbers(tmp_path):
    rows = "text,split,group,fold,target\na b,train,ann,1,0.5\nc d,,bob,2,NA\ne f,dev,ann,,2\ng h,test,cy,,3\n"
    path = file_of(tmp_path, "a.csv", rows)
    found = read(path)
    assert (found.test.tolist(), found.val.tolist()) == ([False] * 3 + [True], [False, False, True, False])
    assert found.groups == ("ann", "bob", "ann", "cy")
    assert found.folds.tolist() == [0, 1, -1, -1]
    assert found.targets.values[:, 0].tolist() == pytest.approx([0.5, float("nan"), 2, 3], nan_ok=True)
    assert found.labels is None
    other = read(path, split="none", target="none", label="group")
    assert (other.test, other.targets, other.classes) == (None, None, ("ann", "bob", "cy"))


@pytest.mark.parametrize(
    ("cell", "message"),
    [("split\nmiddle", "the split 'middle' is none of .*--data.split none"), ("score\nhigh", "'high' is no number")],
)
def test_a_column_of_other_words_is_refused(tmp_path, cell, message):
    name, value = cell.split("\n")
    with pytest.raises(UsageError, match=message):
        read(file_of(tmp_path, "a.csv", f"text,{name}\na b,{value}\n"))
    with pytest.raises(UsageError, match="no column 'lable'"):
        read(file_of(tmp_path, "b.csv", "text\na\n"), label="lable")


def test_kinds_of_targets_are_those_of_manifests(tmp_path):
    found = read(file_of(tmp_path, "a.csv", "text,labels\na,red|big\nb,\nc,big\n"))
    assert (found.labels, found.targets.names, found.targets.kind) == (None, ("big", "red"), "multilabel")
    assert found.targets.values.tolist()[::2] == [[1, 1], [1, 0]]
    assert found.targets.values[1].isnan().all(), "nothing is known of it"
    lines = [{"text": "a", "labels": ["x", "y"]}, {"text": "b", "labels": ["y"]}]
    found = read(file_of(tmp_path, "a.jsonl", "\n".join(map(json.dumps, lines))))
    assert (found.targets.names, found.targets.values.tolist()) == (("x", "y"), [[1, 1], [0, 1]])
    wide = file_of(tmp_path, "b.tsv", "text\ttarget.x\ttarget.y\tp\tq\na\t1.5\t2\t0\t1\nb\tNA\t4\t1\t\n")
    found = read(wide)
    assert (found.targets.names, found.targets.kind) == (("x", "y"), "regression")
    assert found.targets.values[0].tolist() == [1.5, 2]
    assert read(wide, target="none", labels="p,q").targets.names == ("p", "q")
    assert read(file_of(tmp_path, "c.csv", "text,label\na,1.0\nb,2.0\nc,\n")).classes == ("1", "2")
    with pytest.raises(UsageError, match=r"line 3: target is 'high'; it must be a number"):
        read(file_of(tmp_path, "d.csv", "text,target\na,1\nb,high\n"))


def test_texts_have_the_names_that_the_user_gave(tmp_path):
    assert read(file_of(tmp_path, "a.txt", "one\n\ntwo\n")).names == ["a.txt:1", "a.txt:3"]
    assert read(file_of(tmp_path, "b.csv", 'text\n"x\ny"\nz\n')).names == ["b.csv:3", "b.csv:4"]
    assert read(file_of(tmp_path, "c.csv", "id,text\nq7,x\n12,y\n")).names == ["q7", "12"]
    assert read(str(tmp_path)).names[:2] == ["a.txt:1", "a.txt:3"]
    assert Sentences(documents=6).names[:2] == ["0", "1"]


def test_features_have_a_row_for_each_line_with_its_name_and_text(tmp_path, capsys):
    path = file_of(
        tmp_path, "a.jsonl", '{"text": "one"}\n{broken\n' + "".join(f'{{"text": "t{n}"}}\n' for n in range(9))
    )
    run, out, small = str(tmp_path / "run"), tmp_path / "f.npz", ["--encoder.width", "16", "--encoder.depth", "1"]
    words = ["--data", path, "--max-bad", "0.5", "--data.tokenizer", "bytes"]
    assert main(["text", "pretrain", "mlm", *words, "--out", run, *small, "--steps", "1", "--batch-size", "4"]) == 0
    assert main(["text", "embed", run, "--out", str(out)]) == 0
    with np.load(out) as found:
        assert found["path"].tolist() == [f"a.jsonl:{n}" for n in range(1, 12)]
        assert found["text"].tolist() == ["one", "", *(f"t{n}" for n in range(9))]
        assert np.isnan(found["x"]).all(1).tolist() == [n == 1 for n in range(11)]
        assert found["bad"][1].startswith("no JSON")
    assert "left out a.jsonl:2: no JSON" in capsys.readouterr().err


def test_odd_classes_are_asked_about(tmp_path, capsys):
    path = file_of(tmp_path, "a.csv", "text,label\n" + "".join(f"text {n},class {n}\n" for n in range(9)))
    command = ["text", "pretrain", "mlm", "--data", path, "--out", str(tmp_path / "run")]
    assert main(command) == 2
    assert "9 classes of 9 labeled samples" in capsys.readouterr().err
    small = ["--encoder.width", "16", "--encoder.depth", "1", "--steps", "1", "--batch-size", "4"]
    assert main([*command, *small, "--data.classes", "none"]) == 0


def test_missing_labels_are_unknown(tmp_path):
    found = read(file_of(tmp_path, "a.csv", "text,label\na,x\nb,nan\nc,\nd,y\ne,null\n"))
    assert found.classes == ("x", "y")
    assert found.labels.tolist() == [0, -1, -1, 1, -1]


def _choices(text):
    return json.dumps({"context": text, "choices": ["a", "b"], "label": 0}) + "\n"


def _tags(text):
    return "".join(f"{word} T\n" for word in text.split())


@pytest.mark.parametrize(
    ("make", "suffix", "wrap"),
    [(Texts, "txt", str), (Choices, "jsonl", _choices), (Tagged, "txt", _tags), (Texts, "csv", "text\n{}\n".format)],
)
def test_a_vocabulary_is_learned_from_train_alone(tmp_path, make, suffix, wrap):
    options = {"cache": "none", "max_bad": 0.0} if make is Texts else {}
    file_of(tmp_path, f"train.{suffix}", wrap("plain words"))
    before = make(str(tmp_path), **options).spec.vocabulary
    for side, text in (("test", "xylophone xylophone"), ("dev", "quagga quagga")):
        file_of(tmp_path, f"{side}.{suffix}", wrap(text))
    assert make(str(tmp_path), **options).spec.vocabulary == before


def test_a_vocabulary_is_learned_from_the_column_of_train(tmp_path):
    rows = "text,split\nplain words,train\n"
    whole = read(file_of(tmp_path, "b.csv", rows + "xylophone,test\nquagga,dev\n"), tokenizer="wordpiece")
    assert whole.spec.vocabulary == read(file_of(tmp_path, "a.csv", rows), tokenizer="wordpiece").spec.vocabulary


def test_pairs_of_val_stand_apart_from_train_and_test(tmp_path):
    for side in ("train", "dev", "test"):
        file_of(tmp_path, f"{side}.csv", f"sentence1,sentence2,score\n{side} a,{side} b,1\n")
    found = read(str(tmp_path))
    assert found.pair_test.tolist() == [True, False]
    assert len(found) == 6


def test_pairs_share_their_sentences(tmp_path):
    path = file_of(tmp_path, "a.tsv", "score\tsentence1\tsentence2\n5.0\ta b\tc d\n1.5\ta b\te f\n")
    found = read(path)
    assert len(found) == 3
    assert found.pairs.tolist() == [[0, 1], [0, 2]]
    assert found.scores.tolist() == [5.0, 1.5]


def test_rows_of_tables_as_text(tmp_path):
    path = file_of(tmp_path, "a.csv", "city,people\nBern,134000\nBasel,\n")
    found = Tables(path, 0.0, tokenizer="bytes", cache="none")
    assert found.texts([0, 1]) == ["city : Bern ; people : 134000", "city : Basel"]


def test_tables_of_several_rows_with_the_text_around_them(tmp_path):
    """The header once, rows in their order, empty cells in their place; what stands around is before each part."""
    file_of(tmp_path, "cities.csv", "city,people\nBern,134000\nBasel,\nChur,38000\n")
    file_of(tmp_path, "cities.txt", "Swiss cities\nby size\n")
    file_of(tmp_path, "other.txt", "a text of its own\n")
    found = Tables(str(tmp_path), 0.0, rows=2, tokenizer="bytes", cache="none")
    assert set(found.texts(range(3))) == {
        "Swiss cities by size col : city | people row 1 : Bern | 134000 row 2 : Basel | ",
        "Swiss cities by size col : city | people row 1 : Chur | 38000",
        "a text of its own",
    }
    assert len(found) == 3
    alone = Tables(str(tmp_path / "cities.csv"), 0.0, tokenizer="bytes", cache="none")
    assert alone.texts([0]) == ["Swiss cities by size city : Bern ; people : 134000"]


def test_whole_tables_and_rows_of_another_header(tmp_path):
    tables = [
        {"title": "Peaks", "header": ["name", "m"], "rows": [["Dom", 4545], ["Rigi", None]], "caption": "In the Alps."},
        {"a": 1, "b": 2},
        {"a": 3, "b": 4},
        {"b": 5},
    ]
    path = file_of(tmp_path, "a.jsonl", "\n".join(map(json.dumps, tables)))
    found = Tables(path, 0.0, rows=8, tokenizer="bytes", cache="none")
    assert found.texts(range(3)) == [
        "Peaks In the Alps. col : name | m row 1 : Dom | 4545 row 2 : Rigi | ",
        "col : a | b row 1 : 1 | 2 row 2 : 3 | 4",
        "col : b row 1 : 5",
    ]
    found = Tables(path, 0.0, tokenizer="bytes", cache="none")
    assert found.texts([0, 1]) == ["Peaks In the Alps. name : Dom ; m : 4545", "Peaks In the Alps. name : Rigi"]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"header": ["a", "b"], "rows": [[1, 2], [3]]}, "row 2 has 1 cells, and the header has 2"),
        ({"header": ["a"], "rows": [1]}, "rows holds a row that is no list"),
        ({"header": ["a", "a"], "rows": [[1, 2]]}, "two columns of one name"),
        ({"header": ["a"], "rows": [[[1]]]}, "column a holds a list"),
    ],
)
def test_a_broken_table_is_named(tmp_path, table, reason):
    path = file_of(tmp_path, "a.jsonl", json.dumps(table))
    with pytest.raises(UsageError, match=f"a.jsonl:1.*{reason}"):
        Tables(path, 0.0, rows=4, tokenizer="bytes", cache="none")


def test_long_texts_are_cut_or_split(tmp_path):
    path = file_of(tmp_path, "a.txt", "abcdefghij" * 3 + "\nshort\n")
    assert read(path, length=11).texts([0, 1]) == ["abcdefghij", "short"]
    found = read(path, length=11, overflow="split")
    assert found.texts(range(4)) == ["abcdefghij"] * 3 + ["short"]
    assert max(found.lengths.tolist()) == 11, "specials included"


def test_a_line_of_10_mb_is_read(tmp_path):
    path = file_of(tmp_path, "a.txt", "word " * 2_000_000 + "\nshort line\n")
    found = read(path, length=64)
    assert len(found) == 2
    assert "1 cut to length" in found.describe()


def test_duplicates_and_short_texts(tmp_path):
    path = file_of(tmp_path, "a.txt", "same text\nsame  text\nx\nother text\n")
    assert len(read(path)) == 3
    assert len(read(path, dedup=False)) == 4
    found = read(path, least=2)
    assert len(found) == 2
    assert "1 too short" in found.describe()


# ---------------------------------------------------------------------------------------------- bad input


def test_invalid_utf8_is_named_by_line_and_byte(tmp_path):
    path = file_of(tmp_path, "a.txt", b"good\nbad \xff here\n" + b"fine %d\n" * 0 + b"more\n")
    with pytest.raises(UsageError, match=r"a\.txt:2: no UTF-8 at byte 4 of the line \(0xff\)"):
        read(path)
    assert len(read(path, max_bad=0.5)) == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "\n\n \n", "no texts"),
        ("a.txt", b"\x00\x01binary", "NUL bytes"),
        ("a.pdf", "text", "is no text data"),
        ("a.jsonl", "{broken\n", "no JSON"),
        ("a.jsonl", "[1, 2]\n", "a list; each line must be an object"),
        ("a.csv", "size,color\n1,red\n", "name it with --data.column"),
        ("a.csv", "text,label\n,x\n", "nothing in column text"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path, name, content, message):
    with pytest.raises(UsageError, match=message):
        read(file_of(tmp_path, name, content))


def test_missing_things_are_named(tmp_path):
    with pytest.raises(UsageError, match="nowhere does not exist"):
        read(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="has no files of text"):
        read(str(tmp_path))
    path = file_of(tmp_path, "a.csv", "text\nhello\n")
    with pytest.raises(UsageError, match=r"has no column 'body'\. Known: text"):
        read(path, column="body")
    with pytest.raises(UsageError, match="neither bpe, wordpiece, unigram"):
        read(path, tokenizer="sentencepiece")


# ---------------------------------------------------------------------------------------------- batches


def test_a_batch_is_packed_in_its_frame():
    data = Sentences(documents=6)
    batch = data.__getitems__([3, 0])
    assert isinstance(data, Data)
    assert isinstance(batch, Batch)
    assert sum(batch.lengths) == len(batch.tokens)
    for number in range(2):
        own = batch[number : number + 1].tokens.tolist()
        assert (own[0], own[-1]) == (data.spec.prefix[0], data.spec.suffix[0])
    assert pickle.loads(pickle.dumps(data)).texts([3]) == data.texts([3])  # noqa: S301 - its own


def test_batches_are_packed_to_like_totals():
    lengths = torch.randint(5, 200, (6400,), generator=torch.Generator().manual_seed(0))
    ids = torch.randperm(6400, generator=torch.Generator().manual_seed(1))
    packed = arrange(ids, lengths[ids], 32, alike=False)
    assert torch.equal(packed.sort().values, torch.arange(6400))
    totals = lengths[packed].reshape(-1, 32).sum(1).double()
    assert float(totals.std() / totals.mean()) < 0.02
    loose = lengths[ids].reshape(-1, 32).sum(1).double()
    assert float(totals.std()) < 0.2 * float(loose.std())


def test_batches_of_like_lengths_waste_little():
    lengths = torch.randint(5, 200, (6400,), generator=torch.Generator().manual_seed(0))
    ids = torch.randperm(6400, generator=torch.Generator().manual_seed(1))
    alike = lengths[arrange(ids, lengths[ids], 32, alike=True)].reshape(-1, 32)
    padding = 1 - alike.sum() / (alike.max(1).values * 32).sum()
    assert float(padding) < 0.05
    order = alike.double().mean(1)
    assert float((order[1:] >= order[:-1]).double().mean()) < 0.7, "batches come in random order"


def test_a_tail_stays_last_and_the_order_is_a_function_of_ids():
    ids = torch.arange(100).flip(0)
    lengths = ids % 7 + 1
    out = arrange(ids, lengths, 32, alike=False)
    assert torch.equal(out[96:], ids[96:])
    assert torch.equal(out, arrange(ids, lengths, 32, alike=False))


def test_workers_read_what_the_process_reads(tmp_path):
    data = read(file_of(tmp_path, "a.txt", "\n".join(lines())))
    loader = DataLoader(data, batch_sampler=[[0, 5], [7, 2]], collate_fn=lambda x: x, num_workers=1)
    found = [batch.tokens.tolist() for batch in loader]
    assert found == [data.__getitems__([0, 5]).tokens.tolist(), data.__getitems__([7, 2]).tokens.tolist()]


def test_the_store_is_written_once_and_mapped(tmp_path, monkeypatch):
    from unlabeled_text.data import building

    monkeypatch.setattr(building, "CACHED", 1)
    path, cache = file_of(tmp_path, "a.txt", "\n".join(lines())), str(tmp_path / "cache")
    first = read(path, tokenizer="bpe", vocabulary=400, cache=cache)
    stores = list((tmp_path / "cache" / "text").iterdir())
    assert len(stores) == 1
    monkeypatch.setattr(building, "spec_of", None)  # a second run neither trains nor tokenizes
    second = read(path, tokenizer="bpe", vocabulary=400, cache=cache)
    assert second.texts([4]) == first.texts([4])
    assert second.spec == first.spec
    assert type(second.store.tokens).__name__ == "memmap"
    again = pickle.loads(pickle.dumps(second))  # noqa: S301 - its own
    assert again.__getitems__([4]).tokens.tolist() == first.__getitems__([4]).tokens.tolist()


# ---------------------------------------------------------------------------------------------- partners


def test_partners_are_of_the_document_or_of_another():
    documents = torch.tensor([0, 0, 0, 1, 1, 2])
    assert following(documents)[:, 0].tolist() == [1, 2, 0, 4, 3, 5]
    found = far(6, documents)
    assert (documents[found] != documents[:, None]).all()
    assert linked(4, torch.tensor([[0, 2], [0, 3], [2, 1]])).tolist() == [[2, 3, 2, 3], [1] * 4, [1] * 4, [3] * 4]


def test_ranks_are_places_in_the_graph():
    """Two rings of 60 texts, each linked to the next: near ranks stay in the ring, next to the text."""
    ring = torch.arange(60)
    links = torch.stack((ring, (ring + 1) % 60), dim=1)
    links = torch.cat((links, links + 60))
    x = graph_places(120, links)
    near = at_rank(x, 2)
    away = (near - torch.arange(120)[:, None]).abs() % 60
    assert float((torch.minimum(away, 60 - away) <= 3).float().mean()) > 0.95
    assert float((near // 60 == torch.arange(120)[:, None] // 60).float().mean()) > 0.98
    ranks = torch.stack([(x[i] @ x.T).argsort(descending=True).argsort()[at_rank(x, 40)[i]] for i in range(120)])
    assert sorted(ranks[5].tolist()) == [37, 38, 39, 40], "the last four of the forty nearest, the text itself aside"
    assert partners.table("hard@4000", 120, None, links).shape == (120, 4)
    near = partners.table("near@25", 120, None, links)
    assert near.tolist() == at_rank(x, 4).tolist(), "25 is lowered to four, as a fiftieth of the texts is less"
    for wrong in ("near@x", "other"):
        with pytest.raises(UsageError, match="can bring near, far"):
            partners.table(wrong, 120, None, links)


def test_near_texts_are_those_that_links_lead_to():
    """Documents of three texts and one alone: a rank beyond the document would be a stranger."""
    documents = torch.tensor([0, 0, 0, 1, 1, 1, 2])
    near = partners.table("near@25", 7, documents, None)
    assert (documents[near] == documents[:, None]).all()
    assert (near[:6] != torch.arange(6)[:, None]).all()
    assert near[6].tolist() == [6] * 4, "no link leads from it"
    assert near[0].tolist() == [1, 2, 1, 2] or near[0].tolist() == [2, 1, 2, 1]


def test_links_are_read_and_checked(tmp_path):
    path = file_of(tmp_path, "a.txt", "\n".join(lines()))
    data = read(path, links=file_of(tmp_path, "links.tsv", "0\t3\n3\t5\n"))
    data.bring(("near", "far"))
    batch = data.__getitems__([0, 1])
    assert batch.near.ids.tolist() == [3, 3, 3, 3, 1, 1, 1, 1]
    assert batch[1:].near.ids.tolist() == [1, 1, 1, 1]
    with pytest.raises(UsageError, match=r"links\.tsv:1 links '0' to '99'; texts have numbers from 0 to 39"):
        read(path, links=file_of(tmp_path, "links.tsv", "0\t99\n"))
    with pytest.raises(UsageError, match="texts that belong together"):
        read(file_of(tmp_path, "b.tsv", "text\none\ntwo\n")).bring(("near",))


def test_settings_are_checked(tmp_path):
    path = file_of(tmp_path, "a.txt", "one\ntwo\n")
    with pytest.raises(ValueError, match="least is 0"):
        read(path, least=0)
    with pytest.raises(ValueError, match="length is 1"):
        read(path, length=1)
    with pytest.raises(ValueError, match="generated; to read"):
        Sentences(path)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"text,label\none, two, three,x\nfine,y\n", r"a.csv:2: 4 fields, and the header has 2; quote"),
        ("a.tsv", b"text\tlabel\n\nfine\ty\nshort\n", r"a.tsv:4: 1 fields, and the header has 2"),
        ("a.csv", b"sentence1,sentence2,score\na,b,1\n\na, b,c,2\n", r"a.csv:4: 4 fields, and the header has 3"),
        ("a.jsonl", b'{"text": "fine"}\n{"text": ["a", "b"]}\n', r"column text holds a list; it must be text"),
        ("a.jsonl", b'{"text": "a", "label": {"en": 1}}\n', r"column label holds a dict"),
        ("a.txt", "wide".encode("utf-16"), r"a.txt: it is UTF-16; save it as UTF-8"),
        ("a.csv", b"text\na\x00b\n", r"a.csv: binary data: it has NUL bytes"),
        ("a.csv", b"text,label\na\rb,x\nfine,y\n", r"a.csv:2: a carriage return inside of it"),
        ("a.txt", b"one\rtwo", r"a.txt: its lines end in carriage returns"),
        ("a.jsonl", b'{"text": ' + b"[" * 10**5 + b"\n", r"a.jsonl:1: no JSON: lists or objects nested too deep"),
        ("a.jsonl", b'{"text": ' + b"9" * 5000 + b"}\n", r"a.jsonl:1: no JSON: a number of too many digits"),
        ("a.jsonl", b'{"text1": "a", "text2": "b", "score": [1]}\n', r"a.jsonl:1: column score holds a list"),
        ("a.jsonl", b'{"text1": "a", "text2": "b", "score": Infinity}\n', r"a.jsonl:1: the score 'inf' is no number"),
        ("a.jsonl", b'{"text": "\\ud800"}\n', r"a.jsonl:1: column text holds half of a surrogate pair"),
        ("a.csv", b"text,target\na,1\nb," + b"9" * 5000 + b"\n", r"a.csv, line 3: target is '9+'; it must be a number"),
    ],
)
def test_rows_that_cannot_be_meant_are_named(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=reason):
        read(str(tmp_path / name))


def test_names_of_many_digits_are_classes_and_folds(tmp_path):
    data = read(file_of(tmp_path, "a.csv", "text,label,fold\na,1,2\nb," + "9" * 5000 + ",2\nc,1," + "8" * 5000 + "\n"))
    assert data.classes == ("1", "9" * 5000)
    assert data.folds.tolist() == [0, 0, 1]


def test_a_pipe_is_not_waited_for(tmp_path):
    file_of(tmp_path, "a.txt", "one\ntwo\n")
    os.mkfifo(tmp_path / "b.txt")
    assert read(str(tmp_path), max_bad=0.5).bad == {"b.txt": "a pipe or a device, and no file"}
    with pytest.raises(UsageError, match="a pipe or a device"):
        read(file_of(tmp_path / "c", "a.txt", "one\n"), links=str(tmp_path / "b.txt"))
    (tmp_path / "tasks").mkdir()
    os.mkfifo(tmp_path / "tasks" / "a.jsonl")
    for task in (Choices, Tagged):
        with pytest.raises(UsageError, match="a pipe or a device"):
            task(str(tmp_path / "tasks"))


def test_links_are_numbers_of_texts(tmp_path):
    path = file_of(tmp_path, "a.txt", "one\ntwo\n")
    for number in ("9" * 5000, "²", "2"):
        with pytest.raises(UsageError, match=r"links.tsv:1 links '0' to"):
            read(path, links=file_of(tmp_path, "links.tsv", f"0\t{number}\n"))


def test_bytes_are_text_and_nested_columns_are_bad(tmp_path):
    table = pa.table({"body": pa.array(["grün".encode(), b"red", b"\xff"], pa.binary()), "label": [b"x", b"y", b"z"]})
    parquet.write_table(table, tmp_path / "a.parquet")
    bad = []
    found = list(records(tmp_path / "a.parquet", "line", Columns(), lambda where, why: bad.append(why)))
    assert [(r.texts, r.known["label"]) for r in found] == [(("grün",), "x"), (("red",), "y")]
    assert bad == ["column body holds bytes that are no UTF-8 at byte 0"]
    rows = [(1, {"a": b"x", "b": 2}), (2, {"a": [1]})]
    found = list(records_of(rows, Columns(rows=1), tmp_path, lambda where, why: bad.append(why)))
    assert [r.texts for r in found] == [("a : x ; b : 2",)]
    assert bad[1].startswith("column a holds a list")


def test_texts_beside_are_of_the_same_document_where_it_has_another():
    documents = torch.tensor([0, 1, 0, 2, 1, 0, 3, 3, 3, 3, 3, 3, 3])
    found = partners.table("hard", len(documents), documents, None)
    several = documents != 2
    assert (documents[found[several]] == documents[several, None]).all()
    assert (found != torch.arange(len(documents))[:, None]).all()
    assert (documents[found[3]] != 2).all(), "elsewhere"
    assert all(len(row.unique()) == 4 for row in found[6:])
