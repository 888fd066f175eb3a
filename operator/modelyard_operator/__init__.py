"""The operator: reconciles ModelTraining, ModelVersion, ModelDeployment and DriftMonitor.

    kopf event ──► handlers ──► work_queue ──► reconcile ──► status
                    (key)       (one worker      observe → decide → act
                                 a key)          (kind folder: reads, then pure functions)

Nothing is remembered between two passes: each one reads the world again, so a crash after any
write leads to the same end.
"""
