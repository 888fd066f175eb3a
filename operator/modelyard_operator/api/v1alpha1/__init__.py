"""The first version of the API: ModelTraining, ModelVersion, ModelDeployment, DriftMonitor."""
