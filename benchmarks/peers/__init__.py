"""Perdure side by side with other libraries: the same messages, one durable save for each.

`make bench-peers` makes an environment of its own for them and runs `python -m benchmarks.peers`.
"""
