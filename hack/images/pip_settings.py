"""This machine's package index settings, handed to a build as a mount and never baked in."""

from __future__ import annotations

import configparser
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

OF_THE_MACHINE = {"cache-dir", "config-file", "no-cache-dir", "python", "require-virtualenv"}
"""Settings that make no sense inside a build."""
FILES = {"cert", "client-cert", "find-links"}
"""Settings that name files of this machine."""
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def read(environ: Mapping[str, str] = os.environ, home: Path | None = None) -> dict[str, str]:
    """Return pip's settings: of the machine, of the user, of the environment, the last wins."""
    home = home or Path.home()
    parser = configparser.RawConfigParser()
    parser.read(
        [
            "/etc/pip.conf",
            home / ".pip" / "pip.conf",
            home / ".config" / "pip" / "pip.conf",
            environ.get("PIP_CONFIG_FILE", os.devnull),
        ]
    )
    found = {
        name: value
        for section in ("global", "install")
        if parser.has_section(section)
        for name, value in parser.items(section)
    }
    found |= {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in environ.items()
        if name.startswith("PIP_") and value
    }
    bundle = next((environ[name] for name in BUNDLES if environ.get(name)), None)
    if bundle:
        found.setdefault("cert", bundle)
    return {name: value for name, value in found.items() if is_usable(name, value)}


def is_usable(name: str, value: str) -> bool:
    """Tell whether a setting holds inside a build too."""
    if name in OF_THE_MACHINE:
        return False
    return name not in FILES or all("://" in each or Path(each).exists() for each in value.split())


def config_file(settings: Mapping[str, str]) -> str:
    """Return the settings as the text of a pip.conf."""
    parser = configparser.RawConfigParser()
    parser["global"] = dict(sorted(settings.items()))
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def mounts(settings: Mapping[str, str]) -> list[str]:
    """Return the files and folders that the settings name, as read-only mounts of a build."""
    named = {
        each
        for name in FILES & set(settings)
        for each in settings[name].split()
        if each.startswith("/")
    }
    return [f"--volume={path}:{path}:ro" for path in sorted(named)]
