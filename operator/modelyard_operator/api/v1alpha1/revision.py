"""Revisions: what one consists of, what is remembered of it, and which one serves."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from modelyard_operator.api.base import ApiModel, ListMap
from modelyard_operator.api.v1alpha1.common import (
    Digest,
    EnvVar,
    Image,
    Name,
    NodeSelector,
    Resources,
    Tolerations,
)

RevisionName = Annotated[str, Field(max_length=63)]


class AccessKeys(ApiModel):
    """The keys that clients must show one of, as `authorization: Bearer <key>`."""

    secret_name: Name
    """A Secret in the same namespace; its entry `keys` holds one key a line."""


class ReceiptKey(ApiModel):
    """The key that predictions are signed with."""

    secret_name: Name
    """A Secret in the same namespace; its entry `key` holds at least 16 bytes."""


class Runtime(ApiModel):
    """The pods that serve.  A change of any field makes a new revision, which earns its traffic."""

    image: Image | None = None
    """The serving image; the operator's own when absent, and then kept per revision."""
    resources: Resources | None = None
    """Of the serving container."""
    env: Annotated[tuple[EnvVar, ...], Field(max_length=16), ListMap("name")] = ()
    """Added to the environment of the serving container."""
    max_batch_rows: Annotated[int, Field(ge=1, le=65_536)] = 1024
    """How many rows one request may carry."""
    access: AccessKeys | None = None
    """Refuses requests that show no key, over HTTP and gRPC; everybody may ask when absent."""
    receipts: ReceiptKey | None = None
    """Gives every prediction a signed receipt; there are none when absent."""
    node_selector: NodeSelector = Field(default_factory=dict)
    """Labels that a node must carry."""
    tolerations: Tolerations = ()
    """Taints that the pods accept."""


class StableStatus(ApiModel):
    """The revision that serves."""

    revision: RevisionName
    """Its name."""
    version: int
    """The number of its version."""
    model_version: Name
    """The name of its ModelVersion."""
    digest: Digest
    """The identity of its bundle."""
    promoted_at: datetime
    """When it became stable."""


class RevisionRecord(ApiModel):
    """What a revision consists of, so that it never changes and can be made again."""

    name: RevisionName
    """The name of its Deployment and its Service."""
    key: Annotated[str, Field(max_length=16)]
    """Hash of everything but the image: the same wish keeps the image that it was given first."""
    version: int
    """The number of its version."""
    model_version: Name
    """The name of its ModelVersion."""
    digest: Digest
    """The identity of its bundle."""
    uri: Annotated[str, Field(max_length=512)]
    """Where its bundle is."""
    image: Image
    """The serving image, whatever the operator's own is today."""
    runtime: Runtime
    """Its pods."""
    promoted_at: datetime | None = None
    """When it last became stable."""
