"""How the loops of the kernels are compiled: without numba's reference counting, which took three quarters of the time,
and without a look at every divisor, which nearly doubled what a decayed weight costs: they divide as numpy does.

So what is compiled makes no arrays: its caller does, and holds on to them until it has returned. A kernel is one
function, `compiled`, into which all that is `inlined` goes: a call would hand on some forty arrays. numba keeps what it
compiled in __pycache__, and looks at the file of the `compiled` function alone: after a change in another one, run
`make clean` (or touch the first).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numba

_jit: Any = partial(numba.njit, cache=True, nogil=True, error_model="numpy", _nrt=False)

compiled, inlined = _jit(), _jit(inline="always")
