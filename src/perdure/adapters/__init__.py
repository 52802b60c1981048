"""Perdure under other frameworks: one module for each, an extra to be installed of its own."""
