"""Write the CRDs: `modelyard-crds crds`, or see whether they are current: `--check`.

Models in, YAML out; the chart's copies are the same documents under its switches.
"""

import argparse
import re
import sys
from importlib import import_module
from pathlib import Path

import yaml

from modelyard_operator.api import structural
from modelyard_operator.api.base import Column, CustomResource
from modelyard_operator.api.resources import Obj

CATEGORY = "modelyard"
CHART_FOLDER = Path("charts/modelyard/templates/crds")
MODELS = ("ModelTraining", "ModelVersion", "ModelDeployment", "DriftMonitor")
"""The kinds, each the root model of a module in `v1alpha1`."""

_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_CHART_HEAD = """\
{{- if .Values.crds.enabled }}
"""
_CHART_ANNOTATION = """\
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
"""
_CHART_TAIL = """\
{{- end }}
"""


class _Dumper(yaml.SafeDumper):
    """YAML without anchors, so that equal parts stay readable."""

    def ignore_aliases(self, data: object) -> bool:
        """Return True: never write an anchor."""
        return True


# To the YAML readers of Go `y` and `n` are booleans; a field of that name has to be quoted.
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("[yYnN]$"), [*"yYnN"])


def models() -> tuple[type[CustomResource], ...]:
    """Return the root models of all kinds."""
    return tuple(_model(name) for name in MODELS)


def _model(name: str) -> type[CustomResource]:
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    module = import_module(f"modelyard_operator.api.v1alpha1.{words.removeprefix('_')}")
    model: type[CustomResource] = getattr(module, name)
    return model


def definition(model: type[CustomResource]) -> Obj:
    """Return the CustomResourceDefinition of one kind.

    Raises:
        NotStructural: its model says what a CRD cannot, or leaves something unbounded.
    """
    resource = model.RESOURCE
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{resource.group}"},
        "spec": {
            "group": resource.group,
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "shortNames": list(model.SHORT_NAMES),
                "categories": [CATEGORY],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": resource.version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [*map(_column, model.COLUMNS), _AGE],
                    "schema": {"openAPIV3Schema": schema(model)},
                }
            ],
        },
    }


def schema(model: type[CustomResource]) -> structural.Schema:
    """Return the schema of one kind, with the parts that the API server owns left open."""
    root = structural.structural_schema(model)
    properties = root["properties"]
    status = structural.as_reported(properties["status"])
    status.pop("required", None)  # an object that was refused has no phase yet
    open_ended = [
        *structural.unbounded(properties["spec"], ".spec"),
        *(path for path in structural.unbounded(status, ".status") if path.endswith("[]")),
    ]
    if open_ended:
        raise structural.NotStructural(open_ended[0], "has no upper bound (max_length)")
    return root | {
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": properties["spec"],
            "status": status | {"default": {"observedGeneration": -1}},
        },
        "required": ["spec"],
    }


def _column(column: Column) -> Obj:
    shown = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return shown | ({"priority": column.priority} if column.priority else {})


def file_name(model: type[CustomResource]) -> str:
    """Return the name of the file that holds one kind."""
    return f"{model.RESOURCE.group}_{model.RESOURCE.plural}.yaml"


def render(model: type[CustomResource]) -> str:
    """Return the YAML of one kind."""
    document = yaml.dump(definition(model), Dumper=_Dumper, sort_keys=False, width=100)
    return (
        f"# Written by `make crds` from operator/modelyard_operator/api; do not edit.\n{document}"
    )


def render_for_chart(model: type[CustomResource]) -> str:
    """Return the same YAML under the chart's switches `crds.enabled` and `crds.keep`."""
    plain = render(model).replace("{{", "{{ `{{` }}")
    name = f"  name: {model.RESOURCE.plural}.{model.RESOURCE.group}\n"
    return _CHART_HEAD + plain.replace(name, name + _CHART_ANNOTATION, 1) + _CHART_TAIL


def files(folder: Path, chart_folder: Path) -> dict[Path, str]:
    """Return the text of every file: each kind in the folder, and its copy in the chart's."""
    plain = {folder / file_name(model): render(model) for model in models()}
    chart = {chart_folder / file_name(model): render_for_chart(model) for model in models()}
    return plain | chart


def write(texts: dict[Path, str]) -> None:
    """Write every file."""
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def stale(texts: dict[Path, str]) -> list[Path]:
    """Return the files that are absent or say something else."""
    return [
        path
        for path, text in texts.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="modelyard-crds", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--chart", type=Path, default=CHART_FOLDER, help="the chart's copies")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if stale")
    arguments = parser.parse_args()
    texts = files(arguments.folder, arguments.chart)
    if not arguments.check:
        write(texts)
    elif old := stale(texts):
        sys.exit(f"not current, run `make crds`: {', '.join(map(str, old))}")
