from typing import Self

busy: dict[int, object]
running_fits: set[RunningFit]

def end_fit(network: object, claim: object) -> None: ...

class RunningFit:
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc_info: object) -> None: ...
