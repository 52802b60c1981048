"""Perdure keeps what an AI agent knows and is doing, and gives it back, whole, in its next session."""

__version__ = "0.1.0"
