"""A package of which only parts are used: the parts are imported, what its own code brings is not.

Importing a part of a package runs the package's own code first.  That of uvicorn imports its command
line, the start of child processes and what watches files, which costs as much as the parts that serve.
"""

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec, module_from_spec


def defer(package: str, homes: Mapping[str, str]) -> None:
    """Let the package's own code run when a name of it is asked for that is not in `homes`.

    `homes` has the module where a name of the package is from.  A package that is imported already,
    or that is not installed, is left alone.
    """
    spec = None if package in sys.modules else find_spec(package)
    if spec is None or spec.loader is None:
        return
    loader, module = spec.loader, module_from_spec(spec)

    def found(name: str) -> object:
        if name in homes:
            return getattr(import_module(homes[name]), name)
        del module.__dict__["__getattr__"]
        loader.exec_module(module)
        return getattr(module, name)

    module.__dict__["__getattr__"] = found
    sys.modules[package] = module
