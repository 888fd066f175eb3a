"""Start a replica: read the settings, run, and turn what stops it into an exit code."""

import asyncio
import logging
import sys

from modelyard_operator import bootstrap, settings, telemetry
from modelyard_operator.drift_monitor import controller as drift_monitor
from modelyard_operator.model_deployment import controller as model_deployment
from modelyard_operator.model_training import controller as model_training
from modelyard_operator.model_version import controller as model_version
from modelyard_operator.preflight import NotInstalled

NOT_CONFIGURED = 2
KINDS = {
    kind.model.RESOURCE.kind: kind
    for kind in (model_training.KIND, model_version.KIND, model_deployment.KIND, drift_monitor.KIND)
}


def main() -> None:
    """Run the operator."""
    try:
        wanted = settings.read()
        telemetry.configure_logs(wanted.log_level)
        code = asyncio.run(bootstrap.run(wanted, KINDS))
    except (settings.BadSettings, NotInstalled) as error:
        logging.getLogger(__name__).error("%s", error)  # noqa: TRY400 (the sentence is enough)
        code = NOT_CONFIGURED
    sys.exit(code)


if __name__ == "__main__":
    main()
