"""Perdure under the OpenAI Agents SDK: a session whose conversation is a state.

See `docs/design/0026-openai-agents.md`.

Raises:
    ModuleNotFoundError: by importing it, where the SDK is not installed.
"""

try:
    import agents.memory  # noqa: F401  # only to tell what is missing, before all else
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "perdure.adapters.openai_agents needs the OpenAI Agents SDK: install Perdure with its "
        "extra openai-agents (in a clone: pip install '.[openai-agents]')",
        name=error.name,
    ) from error

from perdure.adapters.openai_agents.session import PerdureSession
from perdure.adapters.openai_agents.turns import Turn

__all__ = ["PerdureSession", "Turn"]
