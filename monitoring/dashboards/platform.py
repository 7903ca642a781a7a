"""Pipelines and platform: what fires, what is up, what it takes.

Beside our own metrics these are Prometheus' `up` and `ALERTS`, and on a cluster those of kubelet and kube-state-metrics
(kube-prometheus-stack brings both).
"""

from monitoring.dashboards.panels import Board, Panel, Row

OURS = '$in, container!="", container!="POD"'

HEALTH = Row(
    "What is up",
    (
        Panel(
            "Alerts that fire",
            "Each leads to its section of the runbook.",
            "short",
            "first-of-all",
            {"{{alertname}}": 'count by (alertname) (ALERTS{alertname=~"Rapt.+", alertstate="firing"})'},
        ),
        Panel(
            "Targets",
            "Processes that Prometheus reads, by job, and those that do not answer.",
            "short",
            "endpoint-absent",
            {"{{job}} up": "sum by (job) (up{$in})", "{{job}} down": "count by (job) (up{$in} == 0)"},
        ),
        Panel(
            "Ready",
            "1 for a feeder or label joiner that has caught up.",
            "short",
            "state-behind",
            {"feeder {{instance}}": "rapt_feeder_ready{$in}", "labels {{instance}}": "rapt_labels_ready{$in}"},
        ),
    ),
)
RESOURCES = Row(
    "What it takes",
    (
        Panel(
            "Memory",
            "Working set of each container.",
            "bytes",
            "resources",
            {"{{pod}} {{container}}": f"sum by (pod, container) (container_memory_working_set_bytes{{{OURS}}})"},
        ),
        Panel(
            "Memory of its limit",
            "At 1 a container is killed.",
            "percentunit",
            "resources",
            {
                "{{pod}} {{container}}": f"sum by (pod, container) (container_memory_working_set_bytes{{{OURS}}}) / "
                'sum by (pod, container) (kube_pod_container_resource_limits{$in, resource="memory"})'
            },
            limit=0.9,
        ),
        Panel(
            "CPU",
            "Cores that each container uses.",
            "short",
            "resources",
            {
                "{{pod}} {{container}}": "sum by (pod, container) "
                f"(rate(container_cpu_usage_seconds_total{{{OURS}}}[$every]))"
            },
        ),
        Panel(
            "CPU that was held back",
            "Share of the time slices in which a container had used up its limit.",
            "percentunit",
            "resources",
            {
                "{{pod}} {{container}}": "sum by (pod, container) "
                f"(rate(container_cpu_cfs_throttled_periods_total{{{OURS}}}[$every])) / "
                f"sum by (pod, container) (rate(container_cpu_cfs_periods_total{{{OURS}}}[$every]))"
            },
        ),
        Panel(
            "Restarts",
            "Within an hour.",
            "short",
            "resources",
            {
                "{{pod}} {{container}}": "sum by (pod, container) "
                "(increase(kube_pod_container_status_restarts_total{$in}[1h])) > 0"
            },
        ),
        Panel(
            "Volumes",
            "How full they are: Kafka's and the object store's.",
            "percentunit",
            "resources",
            {
                "{{persistentvolumeclaim}}": "kubelet_volume_stats_used_bytes{$in} "
                "/ kubelet_volume_stats_capacity_bytes{$in}"
            },
            limit=0.85,
        ),
    ),
)
PIPELINES = Row(
    "Pipelines",
    (
        Panel(
            "Pods of Kubeflow",
            "By phase: a step is a pod. Pending ones wait for room, failed ones have their reason in their log.",
            "short",
            "retraining-fails",
            {"{{phase}}": 'sum by (phase) (kube_pod_status_phase{namespace="kubeflow", phase!="Succeeded"})'},
        ),
        Panel(
            "Time of steps",
            "Of each step that has ended, from its start to its end.",
            "s",
            "retraining-fails",
            {
                "{{pod}}": 'kube_pod_completion_time{namespace="kubeflow"} '
                '- on (namespace, pod) kube_pod_start_time{namespace="kubeflow"}'
            },
        ),
        Panel(
            "Retrainings of a laptop's stack",
            "Within a day: begun, and ended without a verdict; and 1 while one runs. A cluster's are pods of Kubeflow.",
            "short",
            "retraining-fails",
            {
                "begun": "sum(increase(rapt_retraining_runs_total{$in}[1d]))",
                "failed": "sum(increase(rapt_retraining_runs_failed_total{$in}[1d]))",
                "running": "max(rapt_retraining_running{$in})",
            },
        ),
        Panel(
            "Memory of steps",
            "Working set of each step's container.",
            "bytes",
            "resources",
            {"{{pod}}": 'sum by (pod) (container_memory_working_set_bytes{namespace="kubeflow", container="main"})'},
        ),
    ),
)
BOARD = Board(
    "rapt-platform",
    "Rapt: pipelines and platform",
    "What fires, what is up, what it takes.",
    (HEALTH, RESOURCES, PIPELINES),
)
