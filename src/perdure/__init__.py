"""Perdure keeps what an AI agent knows and is doing, whole, for its next session."""

__version__ = "0.1.0"
