"""Nothing here is a test; what asks for CuPy and the emulated driver is not even looked at."""

collect_ignore = ["kernels.py", "plugin.py"]
