"""Start a replica: read the settings, run, and turn what stops it into an exit code."""

import asyncio
import logging
import sys

from modelyard_operator import bootstrap, settings, telemetry
from modelyard_operator.drift_monitor.controller import KIND as DRIFT_MONITOR
from modelyard_operator.health import CannotListen
from modelyard_operator.model_deployment.controller import KIND as MODEL_DEPLOYMENT
from modelyard_operator.model_training.controller import KIND as MODEL_TRAINING
from modelyard_operator.model_version.controller import KIND as MODEL_VERSION
from modelyard_operator.preflight import NotInstalled

NOT_CONFIGURED = 2
KINDS = {
    kind.model.RESOURCE.kind: kind
    for kind in (MODEL_TRAINING, MODEL_VERSION, MODEL_DEPLOYMENT, DRIFT_MONITOR)
}


def main() -> None:
    """Run the operator."""
    try:
        wanted = settings.read()
        telemetry.configure_logs(wanted.log_level)
        code = asyncio.run(bootstrap.run(wanted, KINDS))
    except (settings.BadSettings, NotInstalled, CannotListen) as error:
        logging.getLogger(__name__).error("%s", error)  # noqa: TRY400 (the sentence is enough)
        code = NOT_CONFIGURED
    sys.exit(code)


if __name__ == "__main__":
    main()
