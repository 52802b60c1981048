"""The live side of a state: containers that know what was changed in them.

`Document` is the tree of one session, `State` what users see of it.
"""

from perdure.core.windows import Window
from perdure.state.document import MISSING, UNLOADED, Document
from perdure.state.mapping import TrackedDict
from perdure.state.members import TrackedSet
from perdure.state.sections import State
from perdure.state.sequence import TrackedList

__all__ = [
    "MISSING",
    "UNLOADED",
    "Document",
    "State",
    "TrackedDict",
    "TrackedList",
    "TrackedSet",
    "Window",
]
