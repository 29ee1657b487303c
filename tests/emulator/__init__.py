"""CuPy itself on a machine without a GPU: its runtime is replaced, every kernel runs on the host's processor.

The stand-in (`tests/standin`) shows that our branch keeps to the rules that we know of CuPy. Here CuPy's own code runs:
its arrays, kernels, pools, streams, events and graphs, its calls of NVRTC. Only what lies below is ours: `runtime.cpp`
in the place of CUDA's runtime and driver, `hostexec` for the kernels (CuPy's own among them), NumPy for cuBLASLt and
sorting. It shows nothing of a device's arithmetic, its speed, or what runs at the same time.

    python -m tests.emulator FOLDER -m pytest -p tests.emulator.plugin -m gpu tests/gpu

The first call builds what it needs in FOLDER: CuPy's module `runtime`, from its published sources, against ours.
It takes CuPy for CUDA 12, a C++ compiler and a package index.
"""
