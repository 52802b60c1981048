"""Migrating whole fleets of states: looked at first, then each in a commit of its own."""
