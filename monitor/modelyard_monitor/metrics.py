"""Every metric of the monitor, in one table."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """The metrics of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.watches = Gauge("modelyard_monitor_watches", "Watches kept.", registry=self.registry)
        self.scrapes = Counter(
            "modelyard_monitor_scrapes_total",
            "Sketches asked for, by result.",
            ["result"],
            registry=self.registry,
        )
        self.scrape_seconds = Histogram(
            "modelyard_monitor_scrape_seconds",
            "Time until a pod had answered.",
            buckets=(0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10),
            registry=self.registry,
        )
        self.snapshots = Counter(
            "modelyard_monitor_snapshots_total",
            "Sketches read, by what became of them.",
            ["outcome"],
            registry=self.registry,
        )
        self.rows = Counter(
            "modelyard_monitor_rows_total", "Rows counted into windows.", registry=self.registry
        )
        self.windows = Counter(
            "modelyard_monitor_windows_total",
            "Windows closed, by what they say.",
            ["state"],
            registry=self.registry,
        )
        self.rounds = Counter(
            "modelyard_monitor_rounds_total",
            "Rounds over the pods of one watch, by result.",
            ["result"],
            registry=self.registry,
        )
        self.database_bytes = Gauge(
            "modelyard_monitor_database_bytes", "Size of the database.", registry=self.registry
        )
