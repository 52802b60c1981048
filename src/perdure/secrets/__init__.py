"""Secrets in states: found before they are written, or where they were."""
