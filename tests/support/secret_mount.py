"""A folder that changes as Kubernetes changes a mounted Secret: all files at one moment."""

import itertools
from pathlib import Path

import trustme


class SecretMount:
    """Files behind the link `..data`, which is turned from one folder to the next."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count()
        folder.mkdir(parents=True)

    def put(self, **files: bytes) -> None:
        """Make the mount hold these files; `_` in a name stands for a dot."""
        named = {name.replace("_", "."): data for name, data in files.items()}
        number = next(self._numbers)
        version = self.folder / f"..version-{number}"
        version.mkdir()
        for name, data in named.items():
            (version / name).write_bytes(data)
        link = self.folder / f"..data-{number}"
        link.symlink_to(version.name)
        link.rename(self.folder / "..data")
        for name in named:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")


def pair(authority: trustme.CA, **more: bytes) -> dict[str, bytes]:
    """Return the files of a server's certificate for 127.0.0.1."""
    issued = authority.issue_cert("127.0.0.1")
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    return {"tls_crt": chain, "tls_key": issued.private_key_pem.bytes(), **more}
