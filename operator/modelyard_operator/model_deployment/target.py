"""Which revision the spec asks for: a version, and the pods to serve it with.  Pure."""

from dataclasses import dataclass

from modelyard_core.canonical import digest_value, short_hash
from modelyard_core.reasons import Reason, Severity
from modelyard_core.runs import Verdict
from modelyard_operator import naming
from modelyard_operator.api.v1alpha1.model_deployment import ModelDeployment, ModelDeploymentStatus
from modelyard_operator.api.v1alpha1.revision import RevisionRecord, Runtime
from modelyard_operator.model_deployment import reasons
from modelyard_operator.model_deployment.observed import Observed, VersionSeen


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for, or why it cannot be told."""

    record: RevisionRecord | None
    missing: Reason | None = None


def resolve(obj: ModelDeployment, status: ModelDeploymentStatus, seen: Observed) -> Target:
    """Return the wanted revision.

    Following takes the newest Blessed version.  A pin is a person's choice: it may name a version
    that is Unverified or Inconclusive, but not one that was rejected.
    """
    pinned = obj.spec.model.version
    version = _pinned(seen, pinned) if pinned is not None else _followed(seen)
    if version is None:
        return Target(None, _missing(obj, seen))
    if version.verdict is Verdict.REJECTED or version.is_turned_down:
        return Target(None, _rejected(version))
    return Target(_record(obj, status, seen, version))


def _followed(seen: Observed) -> VersionSeen | None:
    return next((v for v in seen.versions if _is_blessed(v)), None)


def _is_blessed(version: VersionSeen) -> bool:
    return version.verdict is Verdict.BLESSED and not version.is_turned_down


def _pinned(seen: Observed, number: int) -> VersionSeen | None:
    return next((v for v in seen.versions if v.number == number), None)


def _record(
    obj: ModelDeployment, status: ModelDeploymentStatus, seen: Observed, version: VersionSeen
) -> RevisionRecord:
    """Return the revision of a version; one that is known already comes back as it was."""
    runtime = obj.spec.runtime
    key = revision_key(version.digest, runtime)
    image = runtime.image or _kept_image(status, key) or seen.images.serving
    name = naming.revision_name(
        obj.metadata.name, short_hash(digest_value({"key": key, "image": image}))
    )
    known = next((record for record in status.revisions if record.name == name), None)
    return known or RevisionRecord(
        name=name,
        key=key,
        version=version.number,
        model_version=version.name,
        digest=version.digest,
        uri=version.uri,
        image=image,
        runtime=runtime,
    )


def revision_key(digest: str, runtime: Runtime) -> str:
    """Return the hash of all that changes predictions or the pod, but for the image.

    Fields that have their default are left out, so that a field which a later release adds changes
    no key.
    """
    wish = runtime.model_dump(mode="json", by_alias=True, exclude={"image"}, exclude_defaults=True)
    wish["env"] = {variable.name: variable.value for variable in runtime.env}
    return short_hash(digest_value({"digest": digest, "runtime": wish}))


def _kept_image(status: ModelDeploymentStatus, key: str) -> str | None:
    """Return the operator's image that this wish was given first: an upgrade rolls no pod."""
    kept = (r.image for r in status.revisions if r.key == key and r.runtime.image is None)
    return next(kept, None)


def _missing(obj: ModelDeployment, seen: Observed) -> Reason:
    training, pinned = obj.spec.model.training, obj.spec.model.version
    if not seen.versions and not seen.has_training:
        return Reason(
            reasons.TRAINING_NOT_FOUND,
            training,
            f"there is no ModelTraining {training} in this namespace.",
            Severity.WARNING,
            remedy="Create it, or correct spec.model.training.",
        )
    if pinned is not None:
        return Reason(
            reasons.VERSION_NOT_FOUND,
            naming.version_name(training, pinned),
            f"there is no version {pinned} of {training}.",
            Severity.WARNING,
            remedy="Pin one that `kubectl get modelversions` shows, or drop spec.model.version.",
        )
    return _not_blessed(training, seen)


def _not_blessed(training: str, seen: Observed) -> Reason:
    if not seen.versions:
        return Reason(reasons.NO_VERSION_YET, training, f"{training} has no version yet.")
    newest = seen.versions[0]
    return Reason(
        reasons.NO_BLESSED_VERSION,
        newest.name,
        f"no version of {training} is Blessed; the newest, v{newest.number}, is {newest.verdict}.",
        Severity.WARNING,
        remedy="Give the training an absolute gate that its models pass, or pin a version.",
    )


def _rejected(version: VersionSeen) -> Reason:
    return Reason(
        reasons.VERSION_REJECTED,
        version.name,
        f"version {version.number} was rejected and is never served.",
        Severity.ERROR,
        remedy="Pin another version, or drop spec.model.version to follow the newest Blessed one.",
    )
