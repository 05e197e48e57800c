from collections.abc import Callable, Iterable

def exercise(
    n_threads: int,
    runs: Iterable[int],
    *,
    active: Iterable[int] | None = None,
    work: int = 0,
    between: Callable[[tuple[list[bytes], bytes, float]], object] | None = None,
) -> list[tuple[list[bytes], bytes, float]]: ...
