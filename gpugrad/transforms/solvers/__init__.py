"""Solutions of equations as differentiable functions: fixed points and differential equations.

Derivatives come from the equations that the solutions obey, not from the steps of the solver: nothing of those is kept.
"""

from .implicit import fixed_point
from .state import SolverError
from .trajectories import odeint

__all__ = ["SolverError", "fixed_point", "odeint"]
