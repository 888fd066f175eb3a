"""DriftMonitor: the monitor service counts and tests, this kind decides what follows from it.

                 the monitor's episode                    requests
    Waiting ──► InsufficientData ⇄ Stable ⇄ Suspect ⇄ Drifting ──► RetrainRequested
                                     ▲                               │ a blessed version
                                     │                               ▼
                                  Cooldown ◄──── ended ─────── Validating
                                                                (the rollout decides)

DataQuality stands beside Suspect and Drifting, and blocks requests.  A request is a value in the
status with the episode's number in its id; the ModelTraining reads it, and its answer is read from
there: nothing is sent, so nothing can be sent twice.  The monitor keeps windows and episodes on its
own volume; what this kind must remember is in its status.
"""
