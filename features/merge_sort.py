"""A merge sort of a part of an order, by whatever comes after what: stable, and quick where little is out of place."""

from __future__ import annotations

from features.jit import inlined


@inlined
def sort_part(order, start, end, spare, is_after, of):
    """Sort `order` from `start` to `end`, where `is_after(of, a, b)` says whether `a` comes after `b`.

    What ties stays as it came. `spare` is as long as `order`. Returns whether any moved.
    """
    moved, width = False, 1
    while width < end - start:
        for first in range(start, end - width, 2 * width):
            middle, last = first + width, min(first + 2 * width, end)
            if is_after(of, order[middle - 1], order[middle]):
                moved = True
                for i in range(first, last):
                    spare[i] = order[i]
                left, right = first, middle
                for i in range(first, last):
                    if right == last or (left < middle and not is_after(of, spare[left], spare[right])):
                        order[i] = spare[left]
                        left += 1
                    else:
                        order[i] = spare[right]
                        right += 1
        width *= 2
    return moved
