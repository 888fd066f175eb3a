"""ModelTraining: wishes to train go through one funnel, one run at a time becomes a version.

    wish (Spec, Manual, Drift)
      │ funnel: suspended? stale? not helping? in flight? data there? trained already?
      │         cooling down? budget spent?
      ├── no, never ──► Suppressed        ┐
      ├── not yet ────► Pending           ├ every outcome is a row of status.requests
      └── yes ────────► Running           ┘
                          │ status.run is written before anything is made for it
                          ▼
            ConfigMap run.json, Job ──► vanished? made again: the bundle is found by its run key
                          │
          ┌───────────────┼────────────────┐
          ▼               ▼                ▼
     Job complete     Job failed      never started, disrupted too often
          │               │                │
     ModelVersion         └──► Failed ◄────┘
          │
          ▼
      Succeeded (Blessed, Rejected, Inconclusive, Unverified)

The Jobs of the last three runs stay for their logs; older ones are deleted.
"""
