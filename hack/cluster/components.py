"""The nine programs of the local cluster: how each is called and what it reads.

JSON is YAML, so configuration files are written as JSON from dictionaries. The settings without an
obvious reason are explained in docs/cluster.md.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hack.cluster import layout
from hack.cluster.daemons import Daemon

if TYPE_CHECKING:
    from hack.cluster.layout import Layout


def all_of(places: Layout) -> tuple[Daemon, ...]:
    """Return the programs in the order of their start."""
    return (
        etcd(places),
        api_server(places),
        volumes(places),
        controller_manager(places),
        scheduler(places),
        containerd(places),
        kubelet(places),
        proxy(places),
        dns(places),
    )


def etcd(places: Layout) -> Daemon:
    """Return the store; it need not survive a power cut, so it does not wait for the disk."""
    return Daemon(
        "etcd",
        (
            str(places.program("etcd")),
            f"--data-dir={places.state / 'etcd'}",
            f"--listen-client-urls={layout.ETCD_CLIENT}",
            f"--advertise-client-urls={layout.ETCD_CLIENT}",
            f"--listen-peer-urls={layout.ETCD_PEER}",
            f"--initial-advertise-peer-urls={layout.ETCD_PEER}",
            f"--initial-cluster=default={layout.ETCD_PEER}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ),
    )


def api_server(places: Layout) -> Daemon:
    """Return the API server, reachable from this machine and its pods only."""
    pki = places.pki
    return Daemon(
        "kube-apiserver",
        (
            str(places.program("kube-apiserver")),
            f"--etcd-servers={layout.ETCD_CLIENT}",
            f"--advertise-address={layout.NODE_ADDRESS}",
            f"--bind-address={layout.NODE_ADDRESS}",
            "--secure-port=6443",
            f"--service-cluster-ip-range={layout.SERVICE_RANGE}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged",
            f"--client-ca-file={pki / 'ca.crt'}",
            f"--tls-cert-file={pki / 'apiserver.crt'}",
            f"--tls-private-key-file={pki / 'apiserver.key'}",
            f"--kubelet-client-certificate={pki / 'apiserver-kubelet-client.crt'}",
            f"--kubelet-client-key={pki / 'apiserver-kubelet-client.key'}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-issuer=https://kubernetes.default.svc.{layout.DOMAIN}",
            f"--service-account-key-file={pki / 'sa.pub'}",
            f"--service-account-signing-key-file={pki / 'sa.key'}",
            f"--proxy-client-cert-file={pki / 'front-proxy-client.crt'}",
            f"--proxy-client-key-file={pki / 'front-proxy-client.key'}",
            f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
        ),
    )


def volumes(places: Layout) -> Daemon:
    """Return the program that makes new volumes writable by pods that are not root."""
    return Daemon("volumes", (str(places.program("volumes")), str(places.volumes)))


def controller_manager(places: Layout) -> Daemon:
    """Return the controllers, with the provisioner of host-path volumes."""
    own, pki = places.kubeconfig_of("controller-manager"), places.pki
    return Daemon(
        "kube-controller-manager",
        (
            str(places.program("kube-controller-manager")),
            *_authenticated(str(own)),
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            "--enable-hostpath-provisioner",
            "--allocate-node-cidrs",
            f"--cluster-cidr={layout.POD_RANGE}",
            f"--service-cluster-ip-range={layout.SERVICE_RANGE}",
            "--use-service-account-credentials",
            f"--root-ca-file={pki / 'ca.crt'}",
            f"--client-ca-file={pki / 'ca.crt'}",
            f"--service-account-private-key-file={pki / 'sa.key'}",
            f"--cluster-signing-cert-file={pki / 'ca.crt'}",
            f"--cluster-signing-key-file={pki / 'ca.key'}",
        ),
    )


def scheduler(places: Layout) -> Daemon:
    """Return the scheduler."""
    own = places.kubeconfig_of("scheduler")
    return Daemon(
        "kube-scheduler",
        (
            str(places.program("kube-scheduler")),
            *_authenticated(str(own)),
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
        ),
    )


def containerd(places: Layout) -> Daemon:
    """Return the container runtime with root, state and socket of its own."""
    config = places.configs / "containerd.toml"
    network = places.configs / "cni" / "10-modelyard.conflist"
    return Daemon(
        "containerd",
        ("containerd", f"--config={config}"),
        files={config: _containerd_toml(places), network: _cni(places)},
    )


def kubelet(places: Layout) -> Daemon:
    """Return the kubelet."""
    config = places.configs / "kubelet.yaml"
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": layout.NODE_ADDRESS,
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.CGROUP}",
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": False,
        "clusterDNS": [layout.POD_GATEWAY],
        "clusterDomain": layout.DOMAIN,
        "resolvConf": "",
        "containerRuntimeEndpoint": f"unix://{places.socket}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(places.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "evictionHard": {
            "memory.available": "200Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        "podPidsLimit": -1,
        "podLogsDir": str(places.logs / "pods"),
        "volumePluginDir": str(places.kubelet / "plugins-exec"),
        "maxPods": 200,
    }
    return Daemon(
        "kubelet",
        (
            str(places.program("kubelet")),
            f"--config={config}",
            f"--kubeconfig={places.kubeconfig_of('kubelet')}",
            f"--hostname-override={layout.NODE}",
            f"--node-ip={layout.NODE_ADDRESS}",
            f"--root-dir={places.kubelet}",
            "--v=2",
        ),
        files={config: _json(settings)},
    )


def proxy(places: Layout) -> Daemon:
    """Return kube-proxy, which needs nothing from iptables."""
    config = places.configs / "proxy.yaml"
    settings = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(places.kubeconfig)},
        "clusterCIDR": layout.POD_RANGE,
        "mode": "nftables",
        "hostnameOverride": layout.NODE,
        "oomScoreAdj": 0,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "conntrack": {"maxPerCore": 0},
    }
    return Daemon(
        "kube-proxy",
        (str(places.program("kube-proxy")), f"--config={config}"),
        files={config: _json(settings)},
    )


def dns(places: Layout) -> Daemon:
    """Return CoreDNS; names outside the cluster do not exist."""
    config = places.configs / "Corefile"
    text = f"""{layout.DOMAIN}:53 {{
    bind {layout.POD_GATEWAY}
    errors
    kubernetes {layout.DOMAIN} {{
        kubeconfig {places.kubeconfig}
    }}
}}
.:53 {{
    bind {layout.POD_GATEWAY}
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
    return Daemon(
        "coredns",
        (str(places.program("coredns")), "-conf", str(config)),
        files={config: text},
    )


def kubeadm_config(places: Layout) -> str:
    """Return what kubeadm needs to know to make certificates and kubeconfigs."""
    init = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "InitConfiguration",
        "localAPIEndpoint": {"advertiseAddress": layout.NODE_ADDRESS, "bindPort": 6443},
        "nodeRegistration": {"name": layout.NODE, "criSocket": f"unix://{places.socket}"},
    }
    cluster = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "clusterName": layout.CONTEXT,
        "kubernetesVersion": f"v{layout.VERSION}",
        "certificatesDir": str(places.pki),
        "controlPlaneEndpoint": f"{layout.NODE_ADDRESS}:6443",
        "networking": {"podSubnet": layout.POD_RANGE, "serviceSubnet": layout.SERVICE_RANGE},
    }
    return f"{_json(init)}---\n{_json(cluster)}"


def addons() -> str:
    """Return the objects that the cluster cannot do without."""
    objects = [
        _cluster_role_binding(
            "kubeadm:cluster-admins", "cluster-admin", "Group", "kubeadm:cluster-admins"
        ),
        _cluster_role_binding(
            "modelyard:kubelet-api",
            "system:kubelet-api-admin",
            "User",
            "kube-apiserver-kubelet-client",
        ),
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": "standard",
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "kubernetes.io/host-path",
        },
    ]
    return _json({"apiVersion": "v1", "kind": "List", "items": objects})


def _cluster_role_binding(name: str, role: str, kind: str, subject: str) -> dict[str, object]:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": kind, "name": subject}],
    }


def _authenticated(kubeconfig: str) -> tuple[str, str, str]:
    return (
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
    )


def _containerd_toml(places: Layout) -> str:
    # restrict_oom_score_adj: runc may lack CAP_SYS_RESOURCE, and then dies without a reason.
    return f"""version = 2
root = "{places.containerd}"
state = "{places.runtime}/containerd"
[grpc]
  address = "{places.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{layout.PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{layout.CNI_PROGRAMS}"
    conf_dir = "{places.configs}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
"""


def _cni(places: Layout) -> str:
    bridge = {
        "type": "bridge",
        "bridge": layout.POD_BRIDGE,
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(places.runtime / "addresses"),
            "ranges": [[{"subnet": layout.NODE_POD_RANGE}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return _json({"cniVersion": "1.0.0", "name": layout.CNI_NETWORK, "plugins": [bridge]})


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"
