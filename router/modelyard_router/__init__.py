"""The agent beside Envoy: a route table in, Envoy's configuration out, what was applied and counted back.

    routes.json ──parse──▶ clusters ──publish──▶ warm? ──▶ routes ──publish──▶ confirmed by Envoy
         ▲                                        │ no                             │
         └────────────── a newer file ends every wait                     unused clusters swept

The pod holds this agent (a native sidecar: its files are there before Envoy starts, and it outlives
Envoy) and Envoy itself.  Neither needs the Kubernetes API, so both go on when the operator or the
API server is away.  Two folders connect them: `/routes` (a mounted ConfigMap, the operator's wish)
and `/xds` (shared memory, Envoy's configuration, written here only).
"""
