"""ModelVersion: a record that never changes, and what it is used for.

    created by the ModelTraining's controller, which never touches it again
        │
        ├── verdict Rejected ──► Rejected
        ▼
    Candidate ──► Serving ◄──► Retired
              stable in a      stable in
              deployment       none any more

The phase is derived from the ModelDeployments of the namespace; nobody owns a version, so it
outlives its training.
"""
