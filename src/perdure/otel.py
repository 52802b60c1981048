"""OpenTelemetry spans for open, load and save (the `otel` extra).

Example:
    >>> store = perdure.Store("agents.db", on_event=perdure.otel.spans())
"""

from __future__ import annotations

from typing import Any

from perdure.events import Event, OnEvent


def spans(tracer_provider: Any = None) -> OnEvent:
    """An `on_event` that makes each event a span, a child of the span that is current.

    Args:
        tracer_provider: as OpenTelemetry's `get_tracer` takes it; the global one if None.

    Raises:
        ModuleNotFoundError: `opentelemetry-api` is not installed; it comes with the extra `otel`.
    """
    try:
        from opentelemetry import trace
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "perdure.otel needs opentelemetry-api: install Perdure with its extra otel "
            "(in a clone: pip install '.[otel]')",
            name=error.name,
        ) from error

    from perdure import __version__

    tracer = trace.get_tracer("perdure", __version__, tracer_provider)

    def record(event: Event) -> None:
        span = tracer.start_span(
            f"perdure.{event.name}",
            start_time=event.started_ns,
            attributes={
                "perdure.key": event.key,
                **{f"perdure.{name}": value for name, value in event.detail.items()},
            },
        )
        if event.error is not None:
            span.set_attribute("error.type", event.error)
            span.set_status(trace.StatusCode.ERROR)
        span.end(end_time=event.started_ns + round(event.seconds * 1e9))

    return record
