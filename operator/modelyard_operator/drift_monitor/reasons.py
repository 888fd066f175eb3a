"""Every reason code of a DriftMonitor; docs/reasons/drift.md says what to do about each."""

# Why nothing can be said
DEPLOYMENT_NOT_FOUND = "DeploymentNotFound"
NO_STABLE_REVISION = "NoStableRevision"
MONITOR_UNREACHABLE = "MonitorUnreachable"
MONITOR_REFUSES = "MonitorRefuses"
NO_SKETCHES = "NoSketches"
FIRST_WINDOW = "FirstWindow"
INSUFFICIENT_DATA = "InsufficientData"

# What is said
WATCHING = "Watching"
NO_DRIFT = "NoDrift"
SUSPECT = "Suspect"
DRIFTING = "Drifting"
DATA_QUALITY = "DataQuality"

# What becomes of a request
RETRAIN_REQUESTED = "RetrainRequested"
VALIDATING = "Validating"
COOLING_DOWN = "CoolingDown"
RETRAIN_LIMIT = "RetrainLimit"
ROLLOUT_IN_PROGRESS = "RolloutInProgress"
TRAINING_NOT_FOUND = "TrainingNotFound"
ALREADY_RETRAINED = "AlreadyRetrained"
RETRAIN_FINISHED = "RetrainFinished"

# Rest of the conditions
SETTLED = "Settled"
AS_EXPECTED = "AsExpected"
