"""HIPS autograd's test suite against gpugrad: `plugin` puts modules of autograd's names in front of gpugrad's."""
