"""The kit for testing what is built on Perdure: import the part you need by its module."""
