"""Spans for open, load and save, from the real OpenTelemetry SDK."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import perdure
from perdure import errors


def test_each_event_is_a_span_with_its_key_times_and_error(tmp_path: Path) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    on_event = perdure.otel.spans(provider)
    with perdure.Store(tmp_path / "a.db", on_event=on_event) as store:
        with store.open("a") as session:
            session.state["n"] = 1
            session.save()
        with pytest.raises(errors.StateNotFound):
            store.open("b", must_exist=True)
    spans = exporter.get_finished_spans()
    names = [span.name for span in spans]
    assert names[:4] == ["perdure.load", "perdure.open", "perdure.save", "perdure.close"]
    save, failed = spans[2], spans[-1]
    assert save.attributes is not None
    assert save.attributes["perdure.key"] == "a"
    assert save.attributes["perdure.number"] == 1
    assert save.start_time is not None
    assert save.end_time is not None
    assert save.end_time > save.start_time
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "state-not-found"


def test_without_opentelemetry_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install '\.\[otel\]'"):
        perdure.otel.spans()


def test_spans_are_children_of_the_current_one(tmp_path: Path) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("agent")
    on_event = perdure.otel.spans(provider)
    with (
        perdure.Store(tmp_path / "a.db", on_event=on_event) as store,
        tracer.start_as_current_span("turn") as turn,
        store.open("a") as session,
    ):
        session.state["n"] = 1
        session.save()
    (save,) = (span for span in exporter.get_finished_spans() if span.name == "perdure.save")
    assert save.parent is not None
    assert save.parent.span_id == turn.get_span_context().span_id
