"""How the metrics of this package are named and labelled."""

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

_PREFIX = "feature_platform"


def gauge(name: str, help_text: str, *labels: str) -> GaugeMetricFamily:
    """A gauge ``feature_platform_<name>`` with the label ``project`` before the others."""
    return GaugeMetricFamily(f"{_PREFIX}_{name}", help_text, labels=["project", *labels])


def instance_gauge(name: str, help_text: str, *labels: str) -> GaugeMetricFamily:
    """A gauge of the whole Dagster instance, which may hold several projects."""
    return GaugeMetricFamily(f"{_PREFIX}_{name}", help_text, labels=labels)


def counter(name: str, help_text: str, *labels: str) -> CounterMetricFamily:
    """A counter ``feature_platform_<name>``, of something that never falls: nothing prunes it."""
    return CounterMetricFamily(f"{_PREFIX}_{name}", help_text, labels=labels)
