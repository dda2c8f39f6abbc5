"""The only layer that touches disk, network, MLflow and Great Expectations: one verb a module."""

import gc
import os

# XGBoost's idle threads would spin and starve whatever shares the cores: on a busy machine of two cores a training of
# 3 CPU seconds took 14. libgomp reads this when it is loaded, so it is set before anything can load it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Arrow's allocator would otherwise take memory in huge pages, which the system fills with zeros before they are used: a
# tenth of the CPU of a pass over the log, and 90 MB. mimalloc, too, reads this when it is loaded.
os.environ.setdefault("MIMALLOC_ARENA_EAGER_COMMIT", "0")

# Importing our libraries makes a million objects that stay: looking through them again after every 700, Python's own
# number, took a sixth of a small night.
gc.set_threshold(10_000)
