"""The local cluster's settings hold together."""

import json
from pathlib import Path

import pytest
from hack.cluster import components, daemons, health, layout, local, remains

PLACES = layout.Layout(Path("/state"), Path("/bin"), Path("/run/modelyard"))
DAEMONS = {daemon.name: daemon for daemon in components.all_of(PLACES)}


def test_every_program_is_recognised_as_ours_from_its_command_line():
    for daemon in DAEMONS.values():
        if daemon.name not in {"etcd", "containerd"}:
            assert Path(daemon.argv[0]).name == daemon.name
        assert remains.is_component(daemon.argv, PLACES.state), daemon.name


def test_every_program_reads_what_is_written_for_it():
    for daemon in DAEMONS.values():
        for path in daemon.files:
            named = str(path) in " ".join(daemon.argv)
            assert named or path.suffix == ".conflist", (daemon.name, path)


def test_ports_that_are_checked_belong_to_programs_that_are_started():
    assert {name for _, _, name in local.LISTENERS} <= set(DAEMONS)


def test_nothing_listens_on_an_address_that_leaves_the_machine():
    assert {address for address, _, _ in local.LISTENERS} == {"127.0.0.1", layout.NODE_ADDRESS}
    assert not [d.name for d in DAEMONS.values() if "0.0.0.0" in " ".join(d.argv)]


def test_generated_settings_are_one_object_each():
    for daemon in DAEMONS.values():
        for path, text in daemon.files.items():
            if path.suffix in {".yaml", ".conflist"}:
                assert isinstance(json.loads(text), dict), path


def test_the_default_storage_class_is_there():
    kinds = {item["kind"]: item for item in json.loads(components.addons())["items"]}

    assert kinds["StorageClass"]["metadata"]["name"] == "standard"


def test_a_daemon_is_started_anew_when_an_argument_changes():
    one, other = daemons.Daemon("a", ("a", "1")), daemons.Daemon("a", ("a", "2"))

    assert one.fingerprint != other.fingerprint


def test_a_dns_question_has_the_name_in_labels():
    question = health.dns_question("a.bc.")

    assert question[12:] == b"\x01a\x02bc\x00\x00\x01\x00\x01"


@pytest.mark.parametrize(
    ("packet", "count"),
    [
        (bytes.fromhex("4d59 8180 0001 0002 0000 0000"), 2),
        (bytes.fromhex("4d59 8183 0001 0000 0000 0000"), 0),
        (bytes.fromhex("4d59 0100 0001 0002 0000 0000"), 0),
        (b"short", 0),
    ],
    ids=["two answers", "no such name", "a question", "damaged"],
)
def test_only_answers_without_an_error_are_counted(packet, count):
    assert health.answer_count(packet) == count
