"""What is stored, as pure functions: no I/O, no clock, no randomness, no threads."""
