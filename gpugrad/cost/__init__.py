"""What forward and backward cost: measured (`profile`), predicted (`tape_memory`) and kept to a budget.

The engine below knows nothing of this room; `instruments` is how it is watched, and only while somebody does.
"""

from .errors import CostError
from .ledger import TapeMemory, tape_memory
from .measure import Profile, profile
from .plan import CheckpointPlan, checkpoint_plan
from .report import LayerCost, Phase, Report

__all__ = [
    "CheckpointPlan",
    "CostError",
    "LayerCost",
    "Phase",
    "Profile",
    "Report",
    "TapeMemory",
    "checkpoint_plan",
    "profile",
    "tape_memory",
]
