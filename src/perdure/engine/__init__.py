"""The engine: pure generators that yield storage requests and return results.

Nothing here does I/O or reads a clock or randomness: those are requests
(`perdure.engine.requests`) that a driver (`perdure.drive`) answers. So one body runs under the
sync driver, the async driver and the deterministic simulator.
"""
