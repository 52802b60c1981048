"""Typed states: schemas, what is in them, and how they change."""
