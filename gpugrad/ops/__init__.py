"""The differentiable functions by family; `core` is how a formula becomes an operation.

Every public function is also in `gpugrad.primitive.FUNCTIONS`, where tensor methods and NumPy's protocols find it.
"""
