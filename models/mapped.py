"""Arrays that lie in a file: memory has of them what is being worked on."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray


def let_go(x: NDArray[Any]) -> None:
    """Have memory hold nothing of an array that lies in a file: who looks at it again reads it again.

    What was written into it is the file's already. One that lies in memory stays there.
    """
    lies_in: Any = x
    while isinstance(lies_in, np.ndarray | memoryview):
        lies_in = lies_in.base if isinstance(lies_in, np.ndarray) else lies_in.obj
    if isinstance(lies_in, mmap.mmap):
        lies_in.madvise(mmap.MADV_DONTNEED)
