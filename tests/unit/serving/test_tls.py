"""Certificates of a mounted folder: what is spoken, who is let in, and what a rotation does."""

import asyncio
import contextlib
import os
import ssl
import subprocess
import sys
from collections import Counter

import httpx
import pytest
import trustme

from modelyard_serving import tls
from modelyard_serving.rotation import REFUSED, TAKEN
from support import serving
from support.secret_mount import SecretMount, pair
from support.serving import INFER, rows

BODY = {"inputs": rows([0.5])}
LIVE = b"GET /v2/health/live HTTP/1.1\r\nhost: rain\r\n\r\n"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def mount(tmp_path):
    return SecretMount(tmp_path / "tls")


def trusting(authority, *alpn) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def shown_with(authority, person) -> ssl.SSLContext:
    """Return a context that shows a client's certificate."""
    context = trusting(authority)
    person.issue_cert("client@example.org").configure_cert(context)
    return context


@contextlib.contextmanager
def secured(mount, bundle, **variables):
    told = {"TLS_DIR": mount.folder, "ROTATION_SECONDS": 0.05, **variables}
    with serving.program(bundle, **told) as program:
        program.url = program.url.replace("http:", "https:")
        program.wait_for("ready: rain version 1")
        yield program


def hands(program, context) -> ssl.SSLSocket:
    """Shake hands on a new connection."""
    return context.wrap_socket(program.connect(), server_hostname="127.0.0.1")


def certificate(program, context) -> bytes:
    """Return what the server shows to a new connection."""
    with hands(program, context) as connection:
        return connection.getpeercert(binary_form=True)


def rotations(program, context, outcome) -> float:
    line = f'modelyard_rotations_total{{outcome="{outcome}",what="tls"}} '
    text = httpx.get(
        program.url + "/metrics", verify=context, timeout=serving.PATIENCE_SECONDS
    ).text
    return float(text.partition(line)[2].partition("\n")[0] or 0)


@pytest.fixture
def opened(mount, authority):
    """Certificates read in this process, and what they told."""
    mount.put(**pair(authority))
    outcomes = []
    return tls.Certificates(mount.folder, outcomes.append), outcomes


def test_old_versions_of_tls_are_not_spoken(opened):
    context = opened[0].context(("http/1.1",))

    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE


def test_clients_with_certificates_cannot_take_up_a_session_again(mount, authority):
    mount.put(**pair(authority, ca_crt=authority.cert_pem.bytes()))

    context = tls.Certificates(mount.folder, [].append).context(())

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.num_tickets == 0


def bad_files(authority):
    good, other = pair(authority), pair(authority)
    return {
        "another-key": good | {"tls_key": other["tls_key"]},
        "no-key": {"tls_crt": good["tls_crt"]},
        "no-certificate": {"tls_key": good["tls_key"]},
        "nothing": {},
        "no-pem": good | {"tls_crt": b"certainly not"},
        "cut-short": good | {"tls_key": good["tls_key"][:100]},
        "a-bad-authority": good | {"ca_crt": b"trust me"},
        "an-authority-where-none-was": good | {"ca_crt": authority.cert_pem.bytes()},
    }


def test_files_that_are_no_good_change_nothing(opened, mount, authority):
    certificates, outcomes = opened
    certificates.context(())

    for bad in bad_files(authority).values():
        mount.put(**bad)
        certificates.refresh()
        certificates.refresh()

    assert outcomes == [TAKEN] + [REFUSED] * len(bad_files(authority))


def test_an_authority_that_goes_away_does_not_open_the_door(mount, authority):
    mount.put(**pair(authority, ca_crt=authority.cert_pem.bytes()))
    outcomes = []
    certificates = tls.Certificates(mount.folder, outcomes.append)
    certificates.context(())

    mount.put(**pair(authority))
    certificates.refresh()

    assert outcomes == [TAKEN, REFUSED]


def test_a_key_with_a_password_is_refused_without_asking_for_it(mount, authority):
    from cryptography.hazmat.primitives import serialization as form

    files = pair(authority)
    key = form.load_pem_private_key(files["tls_key"], None)
    packing = form.BestAvailableEncryption(b"secret")
    pem = (form.Encoding.PEM, form.PrivateFormat.PKCS8, packing)
    mount.put(**files | {"tls_key": key.private_bytes(*pem)})

    with pytest.raises(tls.BadCertificate, match="the key has a password"):
        tls.Certificates(mount.folder, [].append)


def test_the_program_ends_where_the_folder_holds_no_certificate(mount, rain_bundle):
    names = {"MODEL_NAME": "rain", "MODEL_VERSION": "1", "DIGEST": "sha256:0"}
    told = {f"MODELYARD_{name}": value for name, value in names.items()}
    told["MODELYARD_TLS_DIR"] = str(mount.folder)

    ended = subprocess.run(
        [sys.executable, "-m", "modelyard_serving"],
        env=os.environ | told, capture_output=True, check=False, timeout=serving.PATIENCE_SECONDS,
    )  # fmt: skip

    assert ended.returncode == 2
    assert b"no certificate can be used" in ended.stderr


@pytest.mark.slow
async def test_a_rotation_reaches_new_connections_and_loses_no_request(
    mount, authority, rain_bundle
):
    mount.put(**pair(authority))
    context = trusting(authority, "h2", "http/1.1")
    with secured(mount, rain_bundle) as program:
        first = certificate(program, context)
        done = asyncio.Event()
        clients = httpx.AsyncClient(
            base_url=program.url, verify=context, timeout=serving.PATIENCE_SECONDS
        )
        async with clients as http, asyncio.TaskGroup() as group:
            answered = Counter()

            async def ask(client) -> None:
                while not done.is_set():
                    assert (await http.post(INFER, json=BODY)).status_code == 200
                    answered[client] += 1

            for client in range(4):
                group.create_task(ask(client))
            for turn in range(1, 4):
                mount.put(**pair(authority))
                while await asyncio.to_thread(certificate, program, context) == first:
                    pass
                first = await asyncio.to_thread(certificate, program, context)
                while min(answered[client] for client in range(4)) < 2 * turn:
                    await http.get("/v2/health/live")
            done.set()
        with hands(program, context) as connection:
            spoken = connection.selected_alpn_protocol()
        taken = rotations(program, context, TAKEN)

    assert spoken == "http/1.1"
    assert taken == 4


@pytest.mark.slow
def test_a_broken_pair_keeps_the_old_one_until_a_good_one_comes(mount, authority, rain_bundle):
    mount.put(**pair(authority))
    context = trusting(authority)
    with secured(mount, rain_bundle) as program:
        first = certificate(program, context)
        with hands(program, context) as connection:
            mount.put(**bad_files(authority)["another-key"])
            while not rotations(program, context, REFUSED):
                pass
            kept = certificate(program, context)
            connection.sendall(LIVE)
            answer = connection.recv(4096)
        mount.put(**pair(authority))
        while certificate(program, context) == first:
            pass
        program.wait_for("the certificate of before stays")

    assert kept == first
    assert answer.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.slow
def test_clients_show_a_certificate_of_the_authority_of_this_moment(mount, authority, rain_bundle):
    old, new = trustme.CA(), trustme.CA()
    mount.put(**pair(authority, ca_crt=old.cert_pem.bytes()))

    def asked(context) -> bytes:
        with contextlib.suppress(OSError), hands(program, context) as connection:
            connection.sendall(LIVE)
            return connection.recv(4096)[:15]
        return b""

    with secured(mount, rain_bundle) as program:
        before = [asked(shown_with(authority, who)) for who in (old, new)]
        nobody = asked(trusting(authority))
        mount.put(**pair(authority, ca_crt=new.cert_pem.bytes()))
        while not asked(shown_with(authority, new)):
            pass
        after = asked(shown_with(authority, old))

    assert before == [b"HTTP/1.1 200 OK", b""]
    assert nobody == b""
    assert after == b""


@pytest.mark.slow
def test_handshakes_that_never_end_are_cut_off_and_hold_nobody_up(mount, authority, rain_bundle):
    mount.put(**pair(authority))
    context = trusting(authority)
    with contextlib.ExitStack() as stack:
        program = stack.enter_context(secured(mount, rain_bundle))
        silent = [stack.enter_context(program.connect()) for _ in range(100)]
        for connection in silent[::2]:
            connection.sendall(b"\x16\x03\x01")
        shown = certificate(program, context)
        ended = [serving.read_all(connection) for connection in silent]

    assert shown
    assert ended == [b""] * 100
