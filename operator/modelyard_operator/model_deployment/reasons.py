"""Every reason code of a ModelDeployment; docs/reasons/rollouts.md says what to do about each."""

# What is wanted cannot be told, or must not be served
TRAINING_NOT_FOUND = "TrainingNotFound"
NO_VERSION_YET = "NoVersionYet"
NO_BLESSED_VERSION = "NoBlessedVersion"
VERSION_NOT_FOUND = "VersionNotFound"
VERSION_REJECTED = "VersionRejected"

# How an attempt goes
WAITING_FOR_PODS = "WaitingForPods"
APPLYING_TRAFFIC = "ApplyingTraffic"
SHADOWING = "Shadowing"
RAMPING = "Ramping"
CANDIDATE_BLOCKED = "CandidateBlocked"
MANUAL_GATE = "ManualGate"
USER_PAUSED = "UserPaused"
PROMOTING = "Promoting"
TURNING_BACK = "TurningBack"
STABLE_NOT_READY = "StableNotReady"
DRAINING = "Draining"

# How an attempt ended, or why it stands still
FIRST_REVISION = "FirstRevision"
EVERY_STEP_PASSED = "EveryStepPassed"
STABLE_BEFORE = "StableBefore"
PROMOTED_BY_USER = "PromotedByUser"
CANDIDATE_FAILING = "CandidateFailing"
ANALYSIS_FAILED = "AnalysisFailed"
INSUFFICIENT_DATA = "InsufficientData"
PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
CANDIDATE_NOT_READY = "CandidateNotReady"
TRAFFIC_NOT_APPLIED = "TrafficNotApplied"
ABORTED_BY_USER = "AbortedByUser"
NEWER_REVISION = "NewerRevision"
SPEC_ROLLED_BACK = "SpecRolledBack"

# Without an attempt
SERVING = "Serving"
SUSPENDED = "Suspended"
NOTHING_SERVES = "NothingServes"
STABLE_PODS_MISSING = "StablePodsMissing"
NO_ROUTER_READY = "NoRouterReady"

# Events only
ATTEMPT_STARTED = "AttemptStarted"
STEP_ENTERED = "StepEntered"
ATTEMPT_PAUSED = "AttemptPaused"
PROMOTED = "Promoted"
ABORTED = "Aborted"
SUPERSEDED = "Superseded"
ROLLED_BACK = "RolledBack"
ACTION_DONE = "ActionDone"
ACTION_REFUSED = "ActionRefused"
