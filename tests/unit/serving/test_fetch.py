"""The fetch brings the very bytes that the digest names, or nothing and one sentence."""

import os
import shutil

import pytest

from modelyard_core import bundle
from modelyard_core.errors import Rejected, Unavailable
from modelyard_serving import bundle_files, fetch
from modelyard_serving.settings import FetchSettings
from support import bundles

FILES = (*bundle.SERVED_FILES, "card.md", "more/notes.txt")
MORE = {"card.md": b"# rain", "more/notes.txt": b"fine"}


@pytest.fixture
def stored(tmp_path):
    (tmp_path / "pod").mkdir()
    return bundles.in_store(tmp_path / "store", more=MORE)


def told(stored, tmp_path, **changes):
    return FetchSettings(
        **{
            "uri": stored.uri,
            "digest": stored.digest,
            "store": tmp_path / "store",
            "folder": tmp_path / "pod",
            "termination_log": tmp_path / "termination-log",
            **changes,
        }
    )


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_whole_bundle_arrives(stored, tmp_path):
    done = fetch.fetch(told(stored, tmp_path))

    assert contents(tmp_path / "pod") == contents(stored.folder)
    assert (done.files, done.already_there) == (len(FILES), False)


def test_a_second_start_finds_it_there(stored, tmp_path):
    fetch.fetch(told(stored, tmp_path))
    before = (tmp_path / "pod" / bundle.MODEL).stat().st_ino

    done = fetch.fetch(told(stored, tmp_path))

    assert done.already_there
    assert (tmp_path / "pod" / bundle.MODEL).stat().st_ino == before


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_copy_is_fetched_again(stored, tmp_path, name):
    fetch.fetch(told(stored, tmp_path))
    (tmp_path / "pod" / name).write_bytes(b"half")

    done = fetch.fetch(told(stored, tmp_path))

    assert not done.already_there
    assert contents(tmp_path / "pod") == contents(stored.folder)


def test_what_an_interrupted_start_left_is_removed(stored, tmp_path):
    (tmp_path / "pod" / fetch.INCOMING / "deep").mkdir(parents=True)
    (tmp_path / "pod" / fetch.INCOMING / "deep" / "half").write_bytes(b"x")
    (tmp_path / "pod" / "stray").symlink_to("/")

    fetch.fetch(told(stored, tmp_path))

    assert contents(tmp_path / "pod") == contents(stored.folder)


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_in_a_file_is_refused(stored, tmp_path, name):
    data = bytearray((stored.folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (stored.folder / name).write_bytes(bytes(data))

    check_refused(stored, tmp_path, f"{name} has sha256:")


@pytest.mark.parametrize("name", FILES)
def test_a_longer_or_shorter_file_is_refused(stored, tmp_path, name):
    whole = (stored.folder / name).read_bytes()
    for data in (whole + b"x", whole[:-1]):
        (stored.folder / name).write_bytes(data)

        check_refused(stored, tmp_path, f"{name} does not have its {len(whole)} bytes")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(stored, tmp_path, name):
    (stored.folder / name).unlink()

    check_refused(stored, tmp_path, f"{name} is in the manifest, but not in the bundle")


def test_a_file_too_many_is_refused(stored, tmp_path):
    (stored.folder / "more" / "extra.so").write_bytes(b"x")

    check_refused(stored, tmp_path, "more/extra.so is in the bundle, but not in its manifest")


def test_a_changed_manifest_is_refused(stored, tmp_path):
    text = (stored.folder / bundle.MANIFEST).read_bytes()
    (stored.folder / bundle.MANIFEST).write_bytes(text + b"\n")

    check_refused(stored, tmp_path, "manifest.json has digest sha256:")


def test_a_file_that_is_a_link_is_refused(stored, tmp_path):
    shutil.move(stored.folder / bundle.MODEL, tmp_path / "store" / "elsewhere")
    (stored.folder / bundle.MODEL).symlink_to(tmp_path / "store" / "elsewhere")

    check_refused(stored, tmp_path, "model.onnx is no regular file")


def test_a_file_that_is_a_pipe_is_refused(stored, tmp_path):
    (stored.folder / bundle.MODEL).unlink()
    os.mkfifo(stored.folder / bundle.MODEL)

    check_refused(stored, tmp_path, "model.onnx is no regular file")


def test_a_bundle_behind_a_link_out_of_the_store_is_refused(stored, tmp_path):
    shutil.move(stored.folder, tmp_path / "outside")
    stored.folder.symlink_to(tmp_path / "outside")

    check_refused(stored, tmp_path, "leaves its store through a link")


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        pytest.param("s3://models/rain", "is not an address such as pvc", id="another-scheme"),
        pytest.param("file:///etc", "is not an address", id="a-file"),
        pytest.param("/etc", "is not an address", id="a-bare-path"),
        pytest.param("pvc://models", "is not an address", id="no-path"),
        pytest.param("pvc://models/../../etc", "leaves its store", id="a-path-upwards"),
        pytest.param("pvc://models//etc", "leaves its store", id="an-absolute-path"),
        pytest.param("pvc://models/a/./b", "leaves its store", id="a-dot"),
    ],
)
def test_an_address_that_is_not_allowed_is_refused(stored, tmp_path, uri, sentence):
    check_refused(stored, tmp_path, sentence, uri=uri)


def test_a_bundle_over_the_size_limit_is_refused(stored, tmp_path):
    check_refused(stored, tmp_path, "bytes, at most 10 are taken", max_bytes=10)


@pytest.mark.parametrize(
    "path", ["../escape", "/etc/passwd", "a/../b", "", "a\\b", "manifest.json"]
)
def test_a_manifest_that_lists_an_odd_path_is_refused(tmp_path, path):
    made = bundles.write(tmp_path / "store" / "b")
    named = {name: (made.folder / name).read_bytes() for name in bundle.SERVED_FILES}
    odd = bundles.write_manifest(made.folder, {**named, path: b""})
    (tmp_path / "pod").mkdir()

    check_refused(odd, tmp_path, "which no bundle may hold", uri="pvc://models/b")


def test_a_manifest_without_a_model_is_refused(tmp_path):
    made = bundles.write(tmp_path / "store" / "b")
    bare = bundles.write_manifest(made.folder, {})
    (tmp_path / "pod").mkdir()

    check_refused(bare, tmp_path, "does not list model.onnx", uri="pvc://models/b")


def test_a_manifest_that_lists_too_much_is_refused(tmp_path):
    made = bundles.write(tmp_path / "store" / "b")
    many = {f"f{i}": b"" for i in range(bundle_files.MAX_FILES + 1)}
    over = bundles.write_manifest(made.folder, many)
    (tmp_path / "pod").mkdir()

    check_refused(over, tmp_path, "lists 1001 files, at most 1000", uri="pvc://models/b")


def test_a_manifest_without_end_is_refused(stored, tmp_path):
    (stored.folder / bundle.MANIFEST).write_bytes(b" " * (bundle_files.MAX_MANIFEST_BYTES + 1))

    check_refused(stored, tmp_path, "manifest.json is larger than 1048576 bytes")


def test_a_digest_of_something_else_is_refused(tmp_path):
    folder = tmp_path / "store" / "b"
    folder.mkdir(parents=True)
    (folder / bundle.MANIFEST).write_bytes(b"[]")
    (tmp_path / "pod").mkdir()
    digest = bundle_files.digest_bytes(b"[]")

    with pytest.raises(Rejected, match=r"manifest.json: Manifest: expected dict, got list"):
        fetch.fetch(FetchSettings("pvc://models/b", digest, tmp_path / "store", tmp_path / "pod"))


def test_a_bundle_that_is_not_there_may_come_later(stored, tmp_path):
    shutil.rmtree(stored.folder)

    with pytest.raises(Unavailable, match="cannot be fetched"):
        fetch.fetch(told(stored, tmp_path))


def test_a_copy_that_breaks_leaves_nothing_behind(stored, tmp_path):
    fetch.fetch(told(stored, tmp_path))
    (tmp_path / "pod" / bundle.MODEL).write_bytes(b"damaged, so it is fetched again")
    data = (stored.folder / bundle.PROFILE).read_bytes()
    (stored.folder / bundle.PROFILE).write_bytes(data.replace(b"1", b"2"))

    check_refused(stored, tmp_path, "profile.json has sha256:")


def test_the_program_ends_with_a_sentence_where_kubernetes_reads_it(stored, tmp_path):
    log = tmp_path / "termination-log"

    assert fetch.run(lambda: told(stored, tmp_path)) == 0
    assert not log.exists()

    (stored.folder / bundle.MODEL).write_bytes(b"other")
    (tmp_path / "pod" / bundle.MODEL).unlink()
    assert fetch.run(lambda: told(stored, tmp_path)) == fetch.REFUSED
    assert log.read_text().startswith("model.onnx does not have its ")

    shutil.rmtree(stored.folder)
    assert fetch.run(lambda: told(stored, tmp_path)) == fetch.UNAVAILABLE
    assert "cannot be fetched" in log.read_text()


def test_a_bundle_that_is_there_needs_no_store(stored, tmp_path):
    fetch.fetch(told(stored, tmp_path))
    shutil.rmtree(tmp_path / "store")

    assert fetch.fetch(told(stored, tmp_path)).already_there


def check_refused(stored, tmp_path, sentence, **changes):
    with pytest.raises(Rejected, match=sentence):
        fetch.fetch(told(stored, tmp_path, **changes))
    assert not (tmp_path / "pod" / bundle.MANIFEST).exists()
    assert contents(tmp_path / "pod") == {}
