"""A probe that reads files pass by pass ends where scikit-learn's ends with all rows in memory."""

import json
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

import tlcourse as tl
from tlcourse.errors import CourseError, UnknownNameError

pa = pytest.importorskip("pyarrow", reason="the extra cluster is not installed")
parquet = pytest.importorskip("pyarrow.parquet")


def write(folder, x, labels, *, n_files=3, first=0, fingerprint="abc", layer="embedding"):
    """Feature files as `tlcourse extract` writes them; names count from `first`."""
    folder.mkdir(exist_ok=True)
    for i, rows in enumerate(np.array_split(np.arange(len(x)), n_files)):
        values = pa.array(x[rows].astype(np.float16).ravel())
        columns = {
            "name": [f"{first + row}.jpg" for row in rows],
            "label": pa.array([labels[row] for row in rows], pa.string()),
            layer: pa.FixedSizeListArray.from_arrays(values, x.shape[1]),
        }
        about = {b"tlcourse": json.dumps({"fingerprint": fingerprint, "layers": [layer]})}
        table = pa.table(columns).replace_schema_metadata(about)
        path = folder / f"{first}-{i}-{fingerprint}.parquet"
        parquet.write_table(table, path, write_page_checksum=True, use_dictionary=["label"])
    return folder


def rows(n_classes=3, n=600, n_features=20, seed=0, apart=0.25):
    """Features of very different spreads, some alike, around the means of their classes."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    mix = np.random.default_rng(9).normal(size=(n_features, n_features)) / n_features**0.5
    x = random.normal(size=(n, n_features)) * np.geomspace(0.1, 2, n_features) @ mix
    x += apart * np.random.default_rng(8).normal(size=(n_classes, n_features))[y] + 2
    return x.astype(np.float16), y, [f"class {i}" for i in y]


def is_val(n):
    digests = [blake2b(f"{i}.jpg".encode(), digest_size=4).digest() for i in range(n)]
    return np.array([int.from_bytes(digest) < 0.2 * 2**32 for digest in digests])


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("strength", [1e-3, 1.0])
def test_it_is_scikit_learns_logistic_regression(tmp_path, n_classes, strength):
    x, y, labels = rows(n_classes, apart=0.06)
    val, x = is_val(len(y)), x.astype(np.float64)
    probe = tl.fit_streamed_probe(write(tmp_path / "f", x, labels), strengths=(strength,))
    train = x[~val]
    spread = np.sqrt(train.var(axis=0).mean())
    z = (x - train.mean(axis=0)) / spread
    # A small tolerance: both are to be compared where the loss is lowest.
    exact = LogisticRegression(C=strength, tol=1e-7, max_iter=5000).fit(z[~val], y[~val])
    found = softmax(probe.logits(x), axis=1)
    np.testing.assert_allclose(found, exact.predict_proba(z), atol=2e-3)
    difference = np.diff(probe.weight, axis=0)[0] * spread
    expected = exact.coef_[0] if n_classes == 2 else np.diff(exact.coef_, axis=0)[0]
    assert np.abs(difference - expected).max() < 0.02 * np.abs(expected).max()
    right = found.argmax(axis=1) == y
    assert probe.val_accuracy == pytest.approx(right[val].mean())
    assert 1 / n_classes < right[val].mean() < 1
    assert 0.1 < val.mean() < 0.3


def test_it_chooses_the_strength_that_fit_probe_chooses(tmp_path):
    x, y, labels = rows(n=300, n_features=60)
    val = is_val(len(y))
    probe = tl.fit_streamed_probe(write(tmp_path / "f", x, labels))
    x = x.astype(np.float64)
    other = tl.fit_probe(x[~val], y[~val], x[val], y[val])
    assert probe.strength == other.strength
    new, y_new, labels_new = rows(n=500, n_features=60, seed=1)
    first, second = probe.logits(new), other.logits(new.astype(np.float64))
    assert log_loss(y_new, softmax(first, axis=1)) == pytest.approx(
        log_loss(y_new, softmax(second, axis=1)), abs=1e-3
    )
    predicted = first.argmax(axis=1)
    assert (predicted == second.argmax(axis=1)).mean() > 0.99
    test = write(tmp_path / "test", new, labels_new, first=1000)
    assert probe.accuracy(test) == pytest.approx((predicted == y_new).mean())


def test_neither_order_nor_division_into_files_changes_it(tmp_path):
    x, _, labels = rows()
    one = tl.fit_streamed_probe(write(tmp_path / "one", x, labels, n_files=1), strengths=(0.1,))
    folder = tmp_path / "many"
    write(folder, x[300:], labels[300:], first=300, n_files=5)
    write(folder, x[:300], labels[:300], n_files=2)
    many = tl.fit_streamed_probe(folder, strengths=(0.1,))
    assert many.classes == one.classes == ("class 0", "class 1", "class 2")
    assert many.val_accuracy == one.val_accuracy
    np.testing.assert_allclose(many.weight, one.weight, rtol=1e-3, atol=1e-4)  # rounding adds up


def test_rows_without_a_label_are_passed_over(tmp_path):
    x, _, labels = rows()
    expected = tl.fit_streamed_probe(write(tmp_path / "few", x, labels), strengths=(0.1,))
    folder = write(tmp_path / "more", x, labels)
    write(folder, x[:50] + 100, [None] * 50, first=5000)
    found = tl.fit_streamed_probe(folder, strengths=(0.1,))
    np.testing.assert_array_equal(found.bias, expected.bias)


def test_bad_folders_get_a_sentence(tmp_path):
    x, _, labels = rows(n=60)
    with pytest.raises(CourseError, match=r"holds no features.*tlcourse extract"):
        tl.fit_streamed_probe(tmp_path)
    folder = write(tmp_path / "f", x, labels)
    with pytest.raises(UnknownNameError, match=r"no layer 'embed'\. Nearest: embedding"):
        tl.fit_streamed_probe(folder, "embed")
    one = write(tmp_path / "one", x, ["cat"] * 60)
    with pytest.raises(CourseError, match=r"two classes or more.* rows of 1 classes"):
        tl.fit_streamed_probe(one)
    none = write(tmp_path / "none", x, [None] * 60)
    with pytest.raises(CourseError, match="0 rows of 0 classes for training and 0"):
        tl.fit_streamed_probe(none)
    probe = tl.fit_streamed_probe(folder)
    with pytest.raises(CourseError, match="knows no class 'cat', a label in"):
        probe.accuracy(one)
    write(folder, x, labels, first=100, fingerprint="xyz")
    with pytest.raises(CourseError, match=r"different weights.*fingerprints abc, xyz"):
        tl.fit_streamed_probe(folder)


def test_bad_files_get_a_sentence(tmp_path):
    x, _, labels = rows(n=60)
    folder = write(tmp_path / "f", x, labels)
    path = sorted(folder.iterdir())[1]
    whole = path.read_bytes()
    place = whole.index(x[20].tobytes()[:8])  # the features' own bytes
    flipped = bytearray(whole)
    flipped[place] ^= 1
    for content in (whole[: len(whole) // 2], bytes(flipped), b""):
        path.write_bytes(content)
        with pytest.raises(CourseError, match=rf"{path.name} cannot be read .*extract` again"):
            tl.fit_streamed_probe(folder)
    parquet.write_table(pa.table({"name": ["a"]}), path)
    with pytest.raises(CourseError, match="was not written by `tlcourse extract`"):
        tl.fit_streamed_probe(folder)
    path.unlink()
    x[3, 3] = np.inf
    write(folder, x, labels)
    with pytest.raises(CourseError, match="not finite numbers"):
        tl.fit_streamed_probe(folder)


PEAK = """
import sys, tlcourse as tl, psutil
from tlcourse.base.machine import peak_resident
tl.fit_streamed_probe(sys.argv[1], strengths=(1e-4,), progress=False)
before = peak_resident(psutil.Process())
tl.fit_streamed_probe(sys.argv[2], strengths=(1e-4,), progress=False)
print(before, peak_resident(psutil.Process()))
"""


def test_memory_does_not_grow_with_the_rows(tmp_path):
    x, _, labels = rows(n=20_000, n_features=200)
    few = write(tmp_path / "few", x, labels, n_files=4)
    many = write(tmp_path / "many", x, labels, n_files=4)
    for more in (1, 2, 3):
        write(many, x, labels, first=more * len(x), n_files=4)
    command = [sys.executable, "-c", PEAK, str(few), str(many)]
    ran = subprocess.run(command, cwd=Path(tl.__file__).parents[1], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    before, after = map(int, ran.stdout.split())
    in_memory = 3 * x.size * 4  # bytes that the other rows would take as float32
    assert after - before < in_memory / 3


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"fingerprint": "xyz"}, r"has the fingerprint xyz and 20 .*Expected are abc and 20: run"),
        (
            {"n_features": 5},
            r"has the fingerprint abc and 5 features.*Expected are abc and 20: run",
        ),
        ({"labels": [None] * 60}, r"No row in .* has a label.*Extract features of pictures in a f"),
        ({"strengths": ()}, r"strengths is \(\), but must be one number above 0 or more, such as"),
        ({"strengths": (0,)}, r"strengths is \(0,\), but must be"),
        ({"strengths": (0.1, -1)}, r"strengths is \(0.1, -1\), but must be"),
        ({"strengths": (np.nan,)}, r"strengths is \(nan,\), but must be"),
        ({"strengths": 0.1}, r"strengths is 0.1, but must be"),
        ({"strengths": ("a",)}, r"strengths is \('a',\), but must be"),
    ],
)
def test_what_does_not_fit_the_probe_gets_a_sentence(tmp_path, about, said):
    x, _, labels = rows(n=60)
    folder = write(tmp_path / "f", x, labels)
    if "strengths" in about:
        with pytest.raises(CourseError, match=said):
            tl.fit_streamed_probe(folder / "is not looked at", **about)
        return
    probe = tl.fit_streamed_probe(folder, strengths=(0.1,))
    x, labels = x[:, : about.get("n_features", 20)], about.get("labels", labels)
    other = write(tmp_path / "g", x, labels, fingerprint=about.get("fingerprint", "abc"))
    with pytest.raises(CourseError, match=said):
        probe.accuracy(other)


def test_files_of_different_widths_get_a_sentence(tmp_path):
    x, _, labels = rows(n=60)
    folder = write(tmp_path / "f", x, labels)
    write(folder, x[:, :5], labels, first=100)
    with pytest.raises(CourseError, match="has the fingerprint abc and"):
        tl.fit_streamed_probe(folder)


HOSTILE = {
    "no digest": ("{}", None),
    "deep": ("[" * 100_000, None),
    "list": ("[1]", None),
    "whole numbers": (None, ("embedding", [[1, 2]] * 60, pa.list_(pa.int8(), 2))),
    "lists of any length": (None, ("embedding", [[1.0]] * 60, pa.list_(pa.float32()))),
    "no numbers": (None, ("embedding", [[]] * 60, pa.list_(pa.float32(), 0))),
    "too wide": (None, ("embedding", [[0.0] * 9000] * 60, pa.list_(pa.float16(), 9000))),
    "half a row": (None, ("embedding", [[None, 1.0]] * 60, pa.list_(pa.float32(), 2))),
    "numbers for names": (None, ("name", list(range(60)), pa.int64())),
    "lists for labels": (None, ("label", [["a"]] * 60, pa.list_(pa.string()))),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_file_that_only_looks_like_features_is_one_sentence(tmp_path, case):
    x, _, labels = rows(n=60)
    folder = write(tmp_path / "f", x, labels, n_files=1)
    (path,) = folder.iterdir()
    notes, column = HOSTILE[case]
    table = parquet.read_table(path)
    about = table.schema.metadata if notes is None else {"tlcourse": notes}
    if column:
        name, values, kind = column
        table = table.set_column(table.schema.names.index(name), name, pa.array(values, kind))
    parquet.write_table(table.replace_schema_metadata(about), path)
    with pytest.raises(CourseError, match="cannot be read"):
        tl.fit_streamed_probe(folder)


def test_text_that_is_none_is_one_sentence(tmp_path):
    x, _, labels = rows(n=60)
    folder = write(tmp_path / "f", x, labels, n_files=1)
    (path,) = folder.iterdir()
    table = parquet.read_table(path)
    table = table.set_column(0, "name", pa.array([b"\xff"] * 60).view(pa.string()))
    parquet.write_table(table, path)
    with pytest.raises(CourseError, match="cannot be read"):
        tl.fit_streamed_probe(folder)
