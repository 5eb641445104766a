"""Files that are not of this machine: by address, from a server that runs for the test."""

import functools
import http.server
import threading

import numpy as np
import pytest

from skhep_ml.io import iterate_events, read_events, write_scores

fsspec = pytest.importorskip("fsspec", reason="needs fsspec (extra root)")
h5py = pytest.importorskip("h5py", reason="needs h5py (extra root)")
pd = pytest.importorskip("pandas", reason="needs pandas (extra root)")
uproot = pytest.importorskip("uproot", reason="needs uproot (extra root)")

SUFFIXES = ("root", "parquet", "csv", "npz", "h5")
X = np.arange(1000.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("remote")
    with uproot.recreate(folder / "a.root") as file:
        file.mktree("t", {"x": "f8"})
        file["t"].extend({"x": X})
    frame = pd.DataFrame({"x": X})
    frame.to_parquet(folder / "a.parquet")
    frame.to_csv(folder / "a.csv", index=False)
    np.savez(folder / "a.npz", x=X)
    with h5py.File(folder / "a.h5", "w") as file:
        file["x"] = X
    return folder


class Server(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, also parts of them, as uproot and pyarrow ask for."""

    def log_message(self, *args):
        """Say nothing."""

    def do_GET(self):
        with open(self.translate_path(self.path), "rb") as file:
            content = file.read()
        size = len(content)
        wanted = self.headers.get("Range")
        first, last = 0, size - 1
        if wanted:
            begin, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last = int(begin), min(int(end or size), size - 1)
        self.send_response(206 if wanted else 200)
        self.send_header("Accept-Ranges", "bytes")
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        self.wfile.write(content[first : last + 1])


@pytest.fixture(scope="module")
def address(folder):
    handler = functools.partial(Server, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_web_addresses(address, suffix):
    if suffix != "csv":
        pytest.importorskip("aiohttp", reason="fsspec reads http with aiohttp")
    events = read_events(f"{address}/a.{suffix}", features=["x"], library="numpy")
    np.testing.assert_array_equal(events.data[:, 0], X)
    chunks = list(iterate_events(f"{address}/a.{suffix}", features=["x"], step_size=300))
    assert [len(chunk.data) for chunk in chunks] == [300, 300, 300, 100]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_file_systems(folder, suffix):
    memory = fsspec.filesystem("memory")
    memory.pipe(f"/a.{suffix}", (folder / f"a.{suffix}").read_bytes())
    try:
        for address in (f"memory://a.{suffix}", f"simplecache::memory://a.{suffix}"):
            events = read_events(address, features=["x"], library="numpy")
            np.testing.assert_array_equal(events.data[:, 0], X)
    finally:
        memory.rm(f"/a.{suffix}")


def test_scores_of_a_remote_file(folder, tmp_path):
    class Double:
        def predict(self, X):
            return 2 * X[:, 0]

    memory = fsspec.filesystem("memory")
    memory.pipe("/b.parquet", (folder / "a.parquet").read_bytes())
    try:
        out = tmp_path / "b.parquet"
        write_scores(Double(), "memory://b.parquet", out, features=["x"], library="numpy")
    finally:
        memory.rm("/b.parquet")
    np.testing.assert_array_equal(pd.read_parquet(out)["score"], 2 * X)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_package_is_one_sentence(suffix, monkeypatch):
    def missing(kind):
        msg = "Install it"
        raise ImportError(msg)

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    with pytest.raises(ModuleNotFoundError, match=r"root://.*: pip install fsspec-xrootd"):
        read_events(f"root://host//a.{suffix}", features=["x"])
    with pytest.raises(ModuleNotFoundError, match=r"without the package for odd://.*Install it"):
        read_events(f"odd://host/a.{suffix}", features=["x"])


def test_an_unknown_kind_of_address_names_the_nearest():
    with pytest.raises(ValueError, match=r"there are no addresses memori://.*'memory'"):
        read_events("memori://a.root", features=["x"])


def test_a_remote_file_that_is_not_there():
    with pytest.raises(OSError, match=r"none\.parquet"):
        read_events("memory://none.parquet", features=["x"])
