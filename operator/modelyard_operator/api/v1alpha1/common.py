"""Words that every kind shares: durations, decimals, quantities, references, where a pod may run.

Numbers with a fraction travel as strings, so that they survive YAML, JSON and Go unchanged.  Every
string has a length and every list a size: the API server refuses what CEL could not afford to read.
Patterns are RE2 (no look-around).
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from modelyard_core import durations
from modelyard_operator.api.base import ApiModel, Cel

Duration = Annotated[str, Field(pattern=durations.PATTERN, min_length=2, max_length=24)]
"""A length of time: `500ms`, `30s`, `5m`, `1h30m`, `7d`."""

Decimal = Annotated[
    str,
    Field(pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?$", max_length=36),
]
"""A finite number as a string: `0.75`, `-80`, `1e-5`."""

PositiveDecimal = Annotated[
    str,
    Field(pattern=r"^[0-9]{1,15}(\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?$", max_length=35),
]
"""A finite number as a string that is not negative."""

Fraction = Annotated[str, Field(pattern=r"^(0(\.[0-9]{1,15})?|1(\.0{1,15})?)$", max_length=17)]
"""A number from 0 to 1 as a string: `0.2`."""

Quantity = Annotated[
    str, Field(pattern=r"^[0-9]{1,12}(\.[0-9]{1,9})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$", max_length=24)
]
"""An amount of a resource as Kubernetes writes it: `500m`, `2`, `512Mi`."""

Name = Annotated[
    str,
    Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$", min_length=1, max_length=253),
]
"""The name of an object in the same namespace."""

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]
"""The identity of bytes: `sha256:` and 64 hexadecimal digits."""

Image = Annotated[str, Field(pattern=r"^[^\s]+$", min_length=1, max_length=512)]
"""A container image, best by digest."""

LabelKey = Annotated[str, Field(min_length=1, max_length=317)]
LabelValue = Annotated[str, Field(max_length=63)]


class Amounts(ApiModel):
    """Amounts of CPU and memory."""

    cpu: Quantity | None = None
    """CPUs, such as `500m` or `2`."""
    memory: Quantity | None = None
    """Memory, such as `512Mi`."""


class Resources(ApiModel):
    """What a container is promised and what it may use at most."""

    requests: Amounts | None = None
    """What the scheduler keeps free for it."""
    limits: Amounts | None = None
    """What it may use at most; memory above it ends the container."""


class Toleration(ApiModel):
    """A taint that pods accept, in the words of Kubernetes."""

    RULES: ClassVar[tuple[Cel, ...]] = (
        Cel(
            "!has(self.operator) || self.operator != 'Exists' || !has(self.value)",
            "a toleration with operator Exists takes no value; drop value or use operator Equal",
        ),
    )

    key: LabelKey | None = None
    """The taint's key; empty with operator Exists means every taint."""
    operator: Literal["Equal", "Exists"] | None = None
    """Equal compares the value too, and is what Kubernetes assumes."""
    value: LabelValue | None = None
    """The taint's value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The effect that is tolerated; all of them when absent."""
    toleration_seconds: Annotated[int, Field(ge=0, le=86400 * 365)] | None = None
    """How long a NoExecute taint is tolerated."""


NodeSelector = Annotated[dict[str, LabelValue], Field(max_length=16)]
"""Labels that a node must carry."""

Tolerations = Annotated[tuple[Toleration, ...], Field(max_length=16)]


class EnvVar(ApiModel):
    """One environment variable with a plain value; secrets do not belong here."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
    """Its name."""
    value: Annotated[str, Field(max_length=4096)] = ""
    """Its value."""


class ClaimStore(ApiModel):
    """A PersistentVolumeClaim in the same namespace that keeps bundles."""

    claim_name: Name
    """The claim's name."""


class Store(ApiModel):
    """Where bundles are kept."""

    pvc: ClaimStore
    """A PersistentVolumeClaim in the same namespace, shared by training and serving pods."""
