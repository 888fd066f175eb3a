"""A build uses this machine's package index without keeping anything of it."""

import pytest
from hack import caches
from hack.images import build, pip_settings


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "bundle.pem"
    path.write_text("certificates")
    return path


def test_the_environment_wins_over_the_users_file(tmp_path):
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    (tmp_path / ".config" / "pip" / "pip.conf").write_text(
        "[global]\nindex-url = https://a/simple\ntimeout = 7\n"
    )

    found = pip_settings.read({"PIP_INDEX_URL": "https://b/simple"}, tmp_path)

    assert found["index-url"] == "https://b/simple"
    assert found["timeout"] == "7"


def test_pips_own_bundle_wins_over_the_general_one(tmp_path, bundle):
    general = {"SSL_CERT_FILE": "/etc/hostname", "PIP_CERT": str(bundle)}

    assert pip_settings.read(general, tmp_path)["cert"] == str(bundle)


def test_settings_of_the_machine_and_missing_files_stay_out(tmp_path):
    given = {"PIP_CACHE_DIR": "/cache", "PIP_FIND_LINKS": "/nowhere/wheels"}

    found = pip_settings.read(given, tmp_path)

    assert "cache-dir" not in found
    assert "find-links" not in found


def test_files_that_a_setting_names_are_mounted_where_it_looks_for_them(bundle):
    assert pip_settings.mounts({"cert": str(bundle), "timeout": "7"}) == [
        f"--volume={bundle}:{bundle}:ro"
    ]


def test_the_settings_are_written_as_pip_reads_them():
    assert pip_settings.config_file({"timeout": "7"}) == "[global]\ntimeout = 7\n\n"


@pytest.mark.parametrize("room", build.ROOMS)
def test_a_dockerfile_installs_by_hash_runs_unprivileged_and_names_no_index(room):
    text = (caches.REPOSITORY / room / "Dockerfile").read_text()

    assert f"--require-hashes --requirement requirements/{room}.txt" in text
    assert "\nUSER 65532:65532\n" in text
    assert "https://" not in text


@pytest.mark.parametrize("room", build.ROOMS)
def test_an_image_holds_core_and_its_own_code_only(room):
    text = (caches.REPOSITORY / room / "Dockerfile").read_text()
    copied = {line.split()[1] for line in text.splitlines() if line.startswith("COPY ")}

    code = set(build.CODE.get(room, (room,))) - {"scoring"}  # which has no code of its own
    assert copied & {*build.ROOMS, "core"} == {*code, "core"}
