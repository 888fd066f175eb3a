"""The commit: every interleaving and every kill leads to one bundle."""

import errno
import os
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from modelyard_core import bundle, codec
from modelyard_core.bundle import Manifest, Pointer
from modelyard_core.errors import Unavailable
from modelyard_training import store as stores
from modelyard_training.store import Store

KEY = "sha256:" + "c" * 64
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_store(root, waits=None):
    return Store(root, "rain", (waits if waits is not None else []).append)


def complete(store, name="pod-1", content=b"model", key=KEY):
    attempt = store.open_attempt(name)
    attempt.write("model.onnx", content)
    manifest = Manifest(
        schema_version=1,
        training="rain",
        run="rain-1",
        run_key="sha256:run",
        content_key=key,
        data_digest="sha256:data",
        verdict="Blessed",
        created_at=NOON,
        files=attempt.files,
        image=name,
    )
    return attempt.complete(manifest)


def finish(store, digest, name="pod-1"):
    agreed = store.claim(KEY, Pointer(digest, ""), name)
    store.publish(agreed)
    return agreed


def versions(root):
    return sorted(folder.name for folder in (root / "rain" / "versions").iterdir())


def test_a_bundle_does_not_exist_before_it_is_published(tmp_path):
    store = a_store(tmp_path)

    digest = complete(store)

    assert versions(tmp_path) == []
    finish(store, digest)
    assert versions(tmp_path) == [digest.replace(":", "-")]
    found = store.find_content(KEY)
    assert (found.digest, found.folder) == (digest, store.folder(digest))


def test_the_first_claim_wins_and_the_second_attempt_agrees(tmp_path):
    one, two = a_store(tmp_path), a_store(tmp_path)
    first, second = complete(one, "pod-1", b"1"), complete(two, "pod-2", b"2")

    assert finish(one, first, "pod-1") == first
    assert finish(two, second, "pod-2") == first
    two.discard(second)

    assert versions(tmp_path) == [first.replace(":", "-")]
    assert list((tmp_path / "rain" / "attempts").iterdir()) == []


def test_a_claimed_bundle_is_published_by_whoever_comes_next(tmp_path):
    one, two = a_store(tmp_path), a_store(tmp_path)
    first, second = complete(one, "pod-1", b"1"), complete(two, "pod-2", b"2")

    one.claim(KEY, Pointer(first, ""), "pod-1")  # killed here
    agreed = finish(two, second, "pod-2")

    assert agreed == first
    assert versions(tmp_path) == [first.replace(":", "-")]


def test_a_complete_bundle_without_a_claim_is_found(tmp_path):
    digest = complete(a_store(tmp_path))  # killed here

    assert a_store(tmp_path).find_content(KEY).digest == digest


def test_every_step_may_be_repeated(tmp_path):
    store = a_store(tmp_path)
    digest = complete(store)

    for _ in range(2):
        assert finish(store, digest) == digest
        store.remember_run("sha256:run", Pointer(digest, "{}"))
        store.discard(digest)

    assert store.find_run("sha256:run").digest == digest


def test_a_claim_of_a_bundle_that_is_gone_is_replaced(tmp_path):
    store = a_store(tmp_path)
    store.open_attempt("pod-0")
    store.claim(KEY, Pointer("sha256:" + "0" * 64, ""), "pod-0")

    digest = complete(store)

    assert finish(store, digest) == digest


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_bundle_with_a_damaged_file_is_not_found(tmp_path, damage):
    store = a_store(tmp_path)
    digest = complete(store)
    finish(store, digest)
    model = store.folder(digest) / bundle.MODEL

    model.write_bytes(b"other") if damage == "changed" else model.unlink()

    assert store.find_content(KEY) is None


def test_half_a_claim_counts_as_none(tmp_path):
    store = a_store(tmp_path)
    digest = complete(store)
    (tmp_path / "rain" / "contents" / f"{'c' * 64}.json").write_text('{"digest": "sha')

    assert finish(store, digest) == digest


def test_a_volume_without_links_works(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    one, two = a_store(tmp_path), a_store(tmp_path)
    first, second = complete(one, "pod-1", b"1"), complete(two, "pod-2", b"2")

    assert (finish(one, first), finish(two, second)) == (first, first)


def test_what_a_killed_attempt_left_goes_after_a_day(tmp_path):
    store = a_store(tmp_path)
    complete(store, "pod-1")
    store.open_attempt("pod-2")
    attempts = tmp_path / "rain" / "attempts"
    for folder in attempts.iterdir():
        os.utime(folder, (0, 0))

    store.open_attempt("pod-3")

    assert [folder.name for folder in attempts.iterdir()] == ["pod-3"]


def test_a_store_that_does_not_answer_is_asked_a_few_times(tmp_path):
    waits = []
    blocked = tmp_path / "not-a-folder"
    blocked.write_text("")

    with pytest.raises(Unavailable, match="the store does not answer"):
        a_store(blocked, waits).open_attempt("pod-1")

    assert waits == list(stores.WAITS_SECONDS)


def test_a_store_that_answers_again_is_used(tmp_path):
    root = tmp_path / "store"
    root.write_text("")

    class Back(list):
        def append(self, wait):
            super().append(wait)
            root.unlink(missing_ok=True)

    waits = Back()

    assert a_store(root, waits).open_attempt("pod-1").name == "pod-1"
    assert len(waits) == 1


def test_a_pointer_of_another_shape_is_ignored(tmp_path):
    store = a_store(tmp_path)
    complete(store)
    (tmp_path / "rain" / "runs" / "run.json").write_text("[]")

    assert store.find_run("sha256:run") is None


def test_a_manifest_that_was_edited_is_another_bundle(tmp_path):
    store = a_store(tmp_path)
    digest = complete(store)
    finish(store, digest)
    path = store.folder(digest) / bundle.MANIFEST
    manifest = codec.loads(Manifest, path.read_bytes())

    path.write_text(codec.dumps(replace(manifest, verdict="Blessed!")))

    assert store.find_content(KEY) is None
