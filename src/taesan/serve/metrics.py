"""What is counted, as Prometheus reads it. Labels are our own addresses, statuses and model names: never a text."""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from taesan.serve.models import Served

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # seconds


class Metrics:
    def __init__(self, models: Mapping[str, Served]):
        self._registry = CollectorRegistry()
        self._requests = Counter("taesan_requests", "Requests answered", ["route", "status"], registry=self._registry)
        self._seconds = Histogram(
            "taesan_request_seconds",
            "From the headers to the end of the answer",
            ["route"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._registry.register(_Workers(models))
        ProcessCollector(registry=self._registry)

    def observe(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _Workers(Collector):
    """The models' queues, read when they are asked for."""

    def __init__(self, models: Mapping[str, Served]):
        self._models = models

    def collect(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily("taesan_waiting_items", "Items in a model's queue", labels=["model"])
        items = CounterMetricFamily("taesan_items", "Items predicted", labels=["model"])
        batches = CounterMetricFamily("taesan_batches", "Calls of a model that predicted them", labels=["model"])
        for name, model in self._models.items():
            waiting.add_metric([name], model.worker.waiting_items)
            items.add_metric([name], model.worker.batched_items)
            batches.add_metric([name], model.worker.batches)
        yield from (waiting, items, batches)
