"""The reader of the Higgs machine learning challenge."""

import csv
import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest

from skhep_ml.datasets import _challenge, fetch_higgs_challenge

SAMPLE = Path(__file__).parents[2].parent / "shared" / "data" / "small_higgs.csv"


def make_file(path, n=40, *, kaggle=True, columns=None, compress=False):
    """A small file with the columns of the public one; return its rows."""
    rng = np.random.default_rng(0)
    rows = []
    for k in range(n):
        row = {"EventId": str(100000 + k)}
        for name in _challenge.FEATURES:
            row[name] = f"{rng.normal(50, 20):.3f}" if rng.random() > 0.2 else "-999.0"
        row["Weight"] = f"{rng.uniform(0, 2):.12f}"
        row["Label"] = "s" if rng.random() < 0.3 else "b"
        if kaggle:
            row["KaggleSet"] = "tbvu"[k % 4]
            row["KaggleWeight"] = f"{rng.uniform(0, 9):.12f}"
        rows.append(row)
    with gzip.open(path, "wt") if compress else path.open("w") as file:
        writer = csv.DictWriter(file, columns or list(rows[0]), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return rows


@pytest.mark.parametrize("compress", [False, True])
def test_reads_every_column(tmp_path, compress):
    path = tmp_path / "file.csv"
    rows = make_file(path, compress=compress)
    events = fetch_higgs_challenge(path)
    expected = np.array([[float(row[f]) for f in events.feature_names] for row in rows])
    expected[expected == -999] = np.nan
    assert events.data.dtype == np.float32
    np.testing.assert_allclose(events.data, expected, rtol=1e-6)
    np.testing.assert_array_equal(events.target, [row["Label"] == "s" for row in rows])
    np.testing.assert_array_equal(events.weight, [float(row["Weight"]) for row in rows])
    np.testing.assert_array_equal(events.event_number, [int(row["EventId"]) for row in rows])
    np.testing.assert_array_equal(events.kaggle_set, [row["KaggleSet"] for row in rows])
    assert events.event_number.dtype == np.int64
    assert sum(events.class_yields.values()) == pytest.approx(events.weight.sum())


def test_subsets(tmp_path):
    path = tmp_path / "file.csv"
    rows = make_file(path)
    for subset, letter in {"train": "t", "public": "b", "private": "v", "unused": "u"}.items():
        part = [row for row in rows if row["KaggleSet"] == letter]
        events = fetch_higgs_challenge(path, subset=subset)
        np.testing.assert_array_equal(events.event_number, [int(row["EventId"]) for row in part])
        np.testing.assert_array_equal(events.weight, [float(row["KaggleWeight"]) for row in part])


def test_columns_are_found_by_name(tmp_path):
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    rows = make_file(a)
    make_file(b, columns=[*reversed(rows[0])])
    first, second = fetch_higgs_challenge(a), fetch_higgs_challenge(str(b))
    np.testing.assert_array_equal(first.data, second.data)
    assert first.feature_names == second.feature_names


def test_missing_values_and_frame(tmp_path):
    pd = pytest.importorskip("pandas")
    path = tmp_path / "file.csv"
    make_file(path, n=1)
    frame = fetch_higgs_challenge(path, missing_values=-1.0, as_frame=True).data
    assert isinstance(frame, pd.DataFrame)
    assert frame.shape == (1, 30)
    assert (frame == -1).to_numpy().any()
    assert not frame.isna().to_numpy().any()


@pytest.mark.skipif(not SAMPLE.is_file(), reason="the public sample shared/data is not here")
def test_public_sample():
    events = fetch_higgs_challenge(SAMPLE)
    assert events.data.shape == (4999, 30)
    assert events.event_number[:2].tolist() == [100000, 100001]
    assert events.target[:2].tolist() == [1, 0]
    assert events.weight[0] == 0.00265331133733
    assert np.isnan(events.data).any(axis=0).sum() == 11
    column = dict(zip(events.feature_names, events.data.T, strict=True))
    np.testing.assert_array_equal(
        np.isnan(column["PRI_jet_subleading_pt"]), column["PRI_jet_num"] < 2
    )
    # 692 signal events against 411,000 background events in the complete file
    assert 1e-3 < events.class_yields[1] / events.class_yields[0] < 2.5e-3
    with pytest.raises(ValueError, match="no columns KaggleSet and KaggleWeight"):
        fetch_higgs_challenge(SAMPLE, subset="train")


def lines(path):
    return path.read_text().splitlines(keepends=True)


def test_truncated_line_is_named(tmp_path):
    path = tmp_path / "file.csv"
    make_file(path, n=10)
    content = lines(path)
    for bad, number in (([*content[:6], "100006,1.0,2.0\n", *content[7:]], 7), (content, 11)):
        text = "".join(bad)
        path.write_text(text[:-30] if bad is content else text)
        with pytest.raises(ValueError, match=rf"line {number}: \d+ fields instead of 35.*again"):
            fetch_higgs_challenge(path)


def test_field_that_is_no_number_is_named(tmp_path):
    path = tmp_path / "file.csv"
    make_file(path, n=10)
    content = lines(path)
    fields = content[4].split(",")
    fields[3] = "heavy"
    path.write_text("".join([*content[:4], ",".join(fields), *content[5:]]))
    with pytest.raises(ValueError, match="line 5, column DER_mass_vis: 'heavy' is not a number"):
        fetch_higgs_challenge(path)


def test_unknown_label_is_named(tmp_path):
    path = tmp_path / "file.csv"
    rows = make_file(path, n=5)
    path.write_text(path.read_text().replace(f",{rows[2]['Label']},v,", ",bg,v,"))
    with pytest.raises(ValueError, match="event 100002 has the label 'bg'"):
        fetch_higgs_challenge(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"EventId,Weight,Label\n1,1,s\n", "lacks 30 of the 33 columns.*DER_mass_MMC, .*, ..."),
        (b"\x00\xff\xfe\x80", "not a text file"),
        (b"\x1f\x8bnothing", "truncated or damaged"),
    ],
)
def test_other_broken_files(tmp_path, content, message):
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        fetch_higgs_challenge(path)


def test_header_without_events_or_with_a_column_twice(tmp_path):
    path = tmp_path / "file.csv"
    make_file(path, n=3)
    content = lines(path)
    path.write_text(content[0])
    with pytest.raises(ValueError, match="header but no events"):
        fetch_higgs_challenge(path)
    path.write_text("".join(line.rstrip("\r\n") + ",PRI_met\n" for line in content[:1]))
    with pytest.raises(ValueError, match=r"\['PRI_met'\] more than once"):
        fetch_higgs_challenge(path)


def test_truncated_gzip(tmp_path):
    path = tmp_path / "file.csv.gz"
    make_file(path, compress=True)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="truncated or damaged"):
        fetch_higgs_challenge(path)


def test_no_file_and_bad_arguments(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        fetch_higgs_challenge(tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match="subset must be one of"):
        fetch_higgs_challenge(tmp_path / "nowhere.csv", subset="test")
    make_file(tmp_path / "one.csv", n=1)
    with pytest.raises(ValueError, match="holds no event of the subset 'unused'"):
        fetch_higgs_challenge(tmp_path / "one.csv", subset="unused")


@pytest.fixture
def portal(tmp_path, monkeypatch):
    """A stand-in for the portal: a local file with its size and checksum."""
    path = tmp_path / "portal.csv.gz"
    make_file(path, compress=True)
    content = path.read_bytes()
    monkeypatch.setattr(_challenge, "URL", path.as_uri())
    monkeypatch.setattr(_challenge, "SIZE", len(content))
    monkeypatch.setattr(_challenge, "ADLER32", zlib.adler32(content))
    return path


def test_download_fills_the_cache_once(portal, tmp_path, capsys, monkeypatch):
    home = tmp_path / "home"
    events = fetch_higgs_challenge(data_home=home, verbose=1)
    assert len(events.target) == 40
    assert "100%" in capsys.readouterr().err
    assert [path.name for path in home.iterdir()] == [_challenge.NAME]
    portal.unlink()
    monkeypatch.setenv("SKHEP_ML_DATA", str(home))
    again = fetch_higgs_challenge()
    np.testing.assert_array_equal(again.data, events.data)
    assert capsys.readouterr().err == ""


def test_failed_downloads_leave_nothing(portal, tmp_path):
    home = tmp_path / "home"
    good = portal.read_bytes()
    for content in (good[:-10], good[:-1] + bytes([good[-1] ^ 1])):
        portal.write_bytes(content)
        with pytest.raises(ValueError, match=r"checksum.*try again"):
            fetch_higgs_challenge(data_home=home)
        assert not list(home.iterdir())
    portal.unlink()
    with pytest.raises(OSError, match="could not be downloaded"):
        fetch_higgs_challenge(data_home=home)
    assert not list(home.iterdir())


def test_incomplete_file_in_the_cache_is_replaced(portal, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / _challenge.NAME).write_bytes(portal.read_bytes()[:100])
    assert len(fetch_higgs_challenge(data_home=home).target) == 40
