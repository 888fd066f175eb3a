"""Every reason code of a ModelTraining; docs/reasons/training.md says what to do about each.

Codes of failed data, spec and conversion checks come from the training program and pass through.
"""

# What became of a wish
RECEIVED = "Received"
RUN_IN_FLIGHT = "RunInFlight"
SUSPENDED = "Suspended"
STALE_EVIDENCE = "StaleEvidence"
RETRAINING_NOT_HELPING = "RetrainingNotHelping"
DATA_NOT_FOUND = "DataNotFound"
ALREADY_TRAINED = "AlreadyTrained"
DATA_UNCHANGED = "DataUnchanged"
COOLING_DOWN = "CoolingDown"
BUDGET_EXHAUSTED = "BudgetExhausted"
NEWER_REQUEST = "NewerRequest"
COVERED_BY_PENDING = "CoveredByPendingRequest"
WAITING_FOR_TRIGGER = "WaitingForTrigger"

# How a run goes
RUN_STARTING = "RunStarting"
RUN_REPLACING = "RunReplacing"
RUN_QUEUED = "RunQueued"
RUN_WAITING = "RunWaiting"
RUN_RUNNING = "RunRunning"
RUN_REGISTERING = "RunRegistering"
RESULT_LOST = "ResultLost"

# How a run ended without a verdict
NOT_STARTED = "NotStarted"
DISRUPTION_LOOP = "DisruptionLoop"
DEADLINE_EXCEEDED = "DeadlineExceeded"
OUT_OF_MEMORY = "OutOfMemory"
BAD_SPEC = "BadSpec"
BAD_DATA = "BadData"
CANNOT_CONVERT = "CannotConvert"
GUARD = "Guard"
TRANSIENT = "RetriesExhausted"
CRASHED = "Crashed"
REPORT_UNREADABLE = "ReportUnreadable"
JOB_FAILED = "JobFailed"

# How a run ended with one
BLESSED = "Blessed"
REJECTED = "Rejected"
INCONCLUSIVE = "Inconclusive"
UNVERIFIED = "Unverified"

AS_EXPECTED = "AsExpected"
"""Of `Stalled` while it does not hold."""
