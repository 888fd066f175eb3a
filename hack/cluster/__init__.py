"""A cluster to work on: an existing one, kind's, or Kubernetes built from its own modules.

    MODELYARD_CONTEXT=name   use that context, start nothing          existing.py
    a Docker engine answers  kind, with hack/kind.yaml                docker.py
    otherwise                etcd, Kubernetes and containerd as       local.py
                             plain processes of this machine

Whatever it is, its kubeconfig is written to the same file, which all other commands read.
"""
