"""The whole life of a model on fifty years of real weather, on a real cluster.

`make demo` runs this.  It sets up what is missing, plays the chapters, prints every command that it
runs, and ends with a table of what happened.  It exits with 1 if any chapter did not happen.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from examples.weather.stage import DidNotHappen, Obj, Stage
from hack import caches

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DATA = ROOT / "build" / "weather"
NAMESPACE = "weather"
NAME = "rain"
RATE = 20
"""Requests a second that the demo's client sends, 256 rows in each."""
WINDOWS = 2
"""Windows of a minute that an unchanged world must pass."""
PLENTY = 150
"""Requests that suffice to say how accurate the answers are."""


@dataclass
class Facts:
    """What happened, for the table at the end."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)
    requests: int = 0
    failed: int = 0
    bad: int = 0

    def add(self, chapter: str, what: str, numbers: str) -> None:
        """Remember one line of the table."""
        self.rows.append((chapter, what, numbers))

    def count(self, tally: Obj) -> None:
        """Add what one client saw."""
        self.requests += tally["requests"]
        self.failed += tally["failed"]
        self.bad += tally["bad"]

    def table(self) -> str:
        """Return the table as text."""
        rows = [("chapter", "what happened", "numbers"), *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(2)]
        lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows]
        return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


class Weather:
    """The chapters, in order."""

    def __init__(self, stage: Stage, facts: Facts) -> None:
        self.stage = stage
        self.facts = facts

    # ---- pieces that several chapters need --------------------------------------------------

    def wait_for_verdict(self, after: int, limit: float = 240) -> Obj:
        """Wait until a version newer than `after` exists, and return it."""

        def newest() -> Obj | None:
            latest = self.stage.status("mtrain", NAME).get("latest") or {}
            return latest if latest.get("version", 0) > after else None

        def state() -> str:
            return str(self.stage.status("mtrain", NAME).get("summary", ""))

        return self.stage.wait(f"a version after v{after}", newest, state, limit)

    def wait_for_stable(self, version: int, limit: float = 300) -> Obj:
        """Wait until a version serves all the traffic."""

        def serving() -> Obj | None:
            status = self.stage.status("mdeploy", NAME)
            last = status.get("lastAttempt") or {}
            if last.get("version") == version and last.get("outcome") == "Aborted":
                raise DidNotHappen(f"v{version} was turned back: {last.get('message')}")
            stable = status.get("stable") or {}
            idle = status.get("phase") == "Idle"
            return status if idle and stable.get("version") == version else None

        return self.stage.wait(f"v{version} serves", serving, self.rollout_state, limit)

    def rollout_state(self) -> str:
        """Return the deployment's own sentence."""
        return str(self.stage.status("mdeploy", NAME).get("summary", ""))

    def drift_state(self) -> str:
        """Return the monitor's own sentence."""
        return str(self.stage.status("drift", NAME).get("summary", ""))

    def start_traffic(self, name: str, table: str) -> None:
        """Begin to send a table's rows again and again, as a client in the cluster."""
        image = json.loads(
            self.stage.kubectl(
                "get", "deploy", "-l", "app.kubernetes.io/component=serving", "-o", "json",
                shown=False,
            )
        )["items"][0]["spec"]["template"]["spec"]["containers"][0]["image"]  # fmt: skip
        text = (HERE / "client.yaml").read_text()
        for key, value in {"NAME": name, "TABLE": table, "IMAGE": image, "RATE": RATE}.items():
            text = text.replace(f"${{{key}}}", str(value))
        manifest = DATA / f"client-{name}.yaml"
        manifest.write_text(text)
        self.stage.kubectl("apply", "-f", shown(manifest))
        self.stage.wait(f"the client of {table} sends", lambda: self.tally(name), lambda: "", 90)

    def tally(self, name: str) -> Obj | None:
        """Return what a client has seen so far."""
        try:
            out = self.stage.kubectl("logs", f"job/client-{name}", "--tail=1", shown=False)
            found: Obj = json.loads(out)
        except (DidNotHappen, ValueError):
            return None
        return found if found["requests"] else None

    def stop_traffic(self, name: str) -> Obj:
        """End a client and return all that it saw."""
        self.stage.kubectl(
            "exec", f"job/client-{name}", "--",
            "/opt/modelyard/bin/python", "-c", "import os; os.kill(1, 15)",
        )  # fmt: skip
        self.stage.kubectl(
            "wait", "--for=condition=Complete", f"job/client-{name}", "--timeout=60s"
        )
        tally = self.tally(name)
        if tally is None:
            raise DidNotHappen(f"client-{name} said nothing")
        self.facts.count(tally)
        self.stage.say(f"client: {tally['requests']} requests, {tally['failed']} failed")
        return tally

    def config_map(self, name: str, *files: str) -> None:
        """Make a ConfigMap of files, or bring one up to date."""
        sources = [f"--from-file={file}" for file in files]
        made = self.stage.kubectl(
            "create", "configmap", name, *sources, "--dry-run=client", "-o", "yaml"
        )
        manifest = DATA / f"{name}-configmap.yaml"
        manifest.write_text(made)
        self.stage.kubectl("apply", "--server-side", "--force-conflicts", "-f", shown(manifest))

    def fill(self, table: str) -> None:
        """Write a table into the ConfigMap that the training reads."""
        self.config_map("weather", f"days.csv.gz={shown(DATA / table)}")

    def expect_blessed(self, latest: Obj) -> None:
        """Complain if the newest version is not blessed."""
        if latest["verdict"] != "Blessed":
            raise DidNotHappen(f"v{latest['version']} is {latest['verdict']}, not Blessed")

    # ---- the chapters -----------------------------------------------------------------------

    def train(self) -> None:
        """Data in, verdict out."""
        self.stage.chapter(1, "Train on the first era, and prove it", "40 s")
        self.fill("train.csv.gz")
        self.stage.kubectl(
            "apply", "-f", shown(HERE / "store.yaml"), "-f", shown(HERE / "training.yaml")
        )
        latest = self.wait_for_verdict(after=0)
        self.stage.show("get", "mtrain,mver")
        self.expect_blessed(latest)
        self.facts.add("train", "v1 Blessed", self.accuracy_of(1))

    def serve(self) -> None:
        """A version answers, through its router."""
        self.stage.chapter(2, "Serve it, and watch it", "40 s")
        self.stage.kubectl("apply", "-f", shown(HERE / "deployment.yaml"))
        self.wait_for_stable(1)
        tables = [shown(DATA / name) for name in ("calm.csv", "drifted.csv", "after.csv")]
        self.config_map("client", shown(HERE / "replay.py"), *tables)
        self.start_traffic("calm", "calm.csv")
        self.stage.kubectl("apply", "-f", shown(HERE / "monitor.yaml"))
        self.stage.show("get", "mdeploy,drift")
        self.facts.add(
            "serve", "v1 answers through the router", "first version: nothing to compare"
        )

    def improve(self) -> None:
        """A better version earns its traffic."""
        self.stage.chapter(3, "A better version earns the traffic", "100 s")
        self.stage.kubectl("apply", "-f", shown(HERE / "training-better.yaml"))
        latest = self.wait_for_verdict(after=1)
        self.expect_blessed(latest)
        status = self.wait_for_stable(2)
        self.stage.show("get", "mdeploy,mver")
        self.facts.add("improve", "v2 Blessed, canary promoted", evidence(status))

    def turn_back(self) -> None:
        """A version that no offline gate could fault is turned back by its behaviour."""
        self.stage.chapter(4, "As accurate, a hundred times slower: turned back", "120 s")
        self.stage.kubectl("apply", "-f", shown(HERE / "training-slow.yaml"))
        self.expect_blessed(self.wait_for_verdict(after=2))

        def aborted() -> Obj | None:
            status = self.stage.status("mdeploy", NAME)
            return status if status.get("phase") == "Aborted" else None

        status = self.stage.wait("the attempt is aborted", aborted, self.rollout_state, 300)
        if status["stable"]["version"] != 2:
            raise DidNotHappen("the stable version is not v2")
        self.stage.show("get", "mdeploy,mver")
        reason = status["lastAttempt"]["reason"]
        self.facts.add("turn back", f"v3 Blessed, canary aborted: {reason}", evidence(status))
        self.stage.say("the pipeline goes back to what it was; that was trained already")
        self.stage.kubectl("apply", "-f", shown(HERE / "training-better.yaml"))

    def stay_calm(self) -> None:
        """An unchanged world raises no alarm."""
        self.stage.chapter(5, "An unchanged world stays calm", "60 s")

        judged: set[str] = set()

        def enough() -> Obj | None:
            status = self.stage.status("drift", NAME)
            windows = status.get("windows", [])  # since this version serves
            judged.update(each["closedAt"] for each in windows if each["window"] == "1m")
            return status if len(judged) >= WINDOWS else None

        status = self.stage.wait(f"{WINDOWS} windows are judged", enough, self.drift_state, 300)
        if status["phase"] != "Stable":
            raise DidNotHappen(f"the monitor says {status['phase']} in an unchanged world")
        self.stage.show("get", "drift")
        tally = self.stop_traffic("calm")
        best = max(tally["auc"].values())
        self.facts.add("calm", "no alarm on the first era", f"clients saw ROC AUC {best:.2f}")

    def drift(self) -> None:
        """The world changes; the monitor notices and asks for a retraining."""
        self.stage.chapter(6, "The world changes", "180 s")
        self.start_traffic("drifted", "drifted.csv")
        self.stage.say("the labels of the new days come in: the data now holds the newest days")
        self.fill("retrain.csv.gz")

        def asked() -> Obj | None:
            return self.stage.status("drift", NAME).get("retrainRequest") or None

        request = self.stage.wait("the monitor asks for a retraining", asked, self.drift_state, 420)
        self.stage.show("get", "drift")
        self.facts.add("drift", f"found, asked for {request['id']}", request.get("reason", ""))

    def retrain(self) -> None:
        """The retraining that drift caused is gated, rolled out, and helps."""
        self.stage.chapter(7, "Retrain, prove, roll out", "120 s")
        latest = self.wait_for_verdict(after=3)
        self.expect_blessed(latest)
        status = self.wait_for_stable(4)
        tally = self.stop_traffic("drifted")
        worst = min(tally["auc"].values())
        self.facts.add("retrain", "v4 Blessed by the monitor's request", evidence(status))
        self.start_traffic("after", "after.csv")
        self.stage.wait("days that no model has seen", self.enough_answers, lambda: "", 120)
        last = self.stop_traffic("after")
        best = max(last["auc"].values())
        if best < worst + 0.2:
            raise DidNotHappen(f"accuracy is not back: ROC AUC {worst:.2f} → {best:.2f}")
        self.stage.show("get", "mtrain,mver,mdeploy,drift")
        self.facts.add("recover", "accuracy is back", f"ROC AUC {worst:.2f} → {best:.2f}")

    def enough_answers(self) -> Obj | None:
        """Return the tally of the last client once every day was sent."""
        tally = self.tally("after")
        return tally if tally and tally["requests"] >= PLENTY else None

    def accuracy_of(self, version: int) -> str:
        """Return what the gates measured of a version."""
        metrics = self.stage.get("mver", f"{NAME}-v{version}")["spec"]["metrics"]
        return f"ROC AUC {float(metrics['roc_auc']):.2f} on the held-out days"


def shown(path: Path) -> str:
    """Return a path as a person in the repository would type it."""
    return str(path.relative_to(ROOT))


def evidence(status: Obj) -> str:
    """Return the e-values of the last attempt as text: above its limit, one of them decides."""
    checks = (status.get("lastAttempt") or {}).get("analysis") or []
    return "; ".join(
        f"{check['name']} {check['badCanary']}/{check['nCanary']} bad "
        f"(stable {check['badStable']}/{check['nStable']}), "
        f"e-values harm {check['eHarm']} good {check['ePass']}"
        for check in checks
    )


def set_up(arguments: argparse.Namespace) -> None:
    """Bring up cluster, images, release and data."""
    steps = (["cluster", "up"], ["images"], ["install"])
    for step in steps if not arguments.installed else ():
        subprocess.run([sys.executable, "-m", "hack", *step], check=True, cwd=ROOT)
    if not (DATA / "train.csv.gz").exists():
        command = [sys.executable, str(HERE / "prepare.py"), str(DATA)]
        subprocess.run(command, check=True, cwd=ROOT)


def namespace(stage: Stage) -> None:
    """Make the demo's namespace anew, under the restricted pod security standard."""
    stage.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s")
    stage.kubectl("create", "namespace", NAMESPACE)
    restricted = "pod-security.kubernetes.io/enforce=restricted"
    stage.kubectl("label", "namespace", NAMESPACE, restricted)


def ending(stage: Stage, facts: Facts, failure: str) -> int:
    """Print the table and what to do next, and return the exit code."""
    print("\n" + facts.table())
    print(
        f"\n{facts.requests} client requests: {facts.failed} failed without an answer, "
        f"{facts.bad} answered with an error."
    )
    if failure:
        print(f"\nThis did not happen: {failure}")
        print(f"Look around: kubectl -n {NAMESPACE} describe mtrain,mdeploy,drift")
        print("             kubectl -n modelyard-system logs deploy/modelyard-operator")
        return 1
    print(f"\nThe whole life took {stage.elapsed()}. It is still there; look around:")
    print(f"  kubectl -n {NAMESPACE} get mtrain,mver,mdeploy,drift")
    print(f"  kubectl -n {NAMESPACE} describe mdeploy {NAME}")
    print("  make demo-down        removes it all")
    return 0


def main() -> int:
    """Play the chapters."""
    parser = argparse.ArgumentParser(description="Play a model's whole life on real data.")
    parser.add_argument("--installed", action="store_true", help="cluster and release are there")
    arguments = parser.parse_args()
    set_up(arguments)
    stage, facts = Stage(NAMESPACE, caches.kubeconfig(), caches.programs()), Facts()
    weather = Weather(stage, facts)
    chapters = (
        weather.train,
        weather.serve,
        weather.improve,
        weather.turn_back,
        weather.stay_calm,
        weather.drift,
        weather.retrain,
    )
    try:
        namespace(stage)
        for chapter in chapters:
            chapter()
        failure = "" if not facts.failed else f"{facts.failed} client requests had no answer"
    except DidNotHappen as error:
        failure = str(error)
    return ending(stage, facts, failure)


if __name__ == "__main__":
    sys.exit(main())
