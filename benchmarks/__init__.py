"""What Perdure costs: each figure beside a floor measured in the same run.

`python -m benchmarks --list` names them.
"""
