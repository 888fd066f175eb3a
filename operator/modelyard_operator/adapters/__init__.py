"""The only input and output of the operator: each module fills one port.

cluster: Cluster, over the Kubernetes API · router_http: Routers · serving_http: Servers ·
monitor_http: Monitor · clock: Clock.
"""
