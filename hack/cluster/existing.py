"""A cluster that is there already: its context is copied, nothing is started or stopped."""

from __future__ import annotations

from hack import caches, programs
from hack.terminal import say


def act(verb: str, context: str) -> bool:
    """Do one of the cluster verbs; the answer is whether all is well."""
    if verb in {"down", "purge"}:
        say(f"the cluster of context {context} was not started here, so it is left alone")
        return True
    target = caches.kubeconfig()
    if verb == "up":
        text = programs.run(
            ["kubectl", "config", "view", "--minify", "--flatten", f"--context={context}"]
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(0o600)
    answered = programs.succeeds(["kubectl", f"--kubeconfig={target}", "get", "--raw", "/readyz"])
    say(f"the cluster of context {context} {'answers' if answered else 'does not answer'}")
    return answered
