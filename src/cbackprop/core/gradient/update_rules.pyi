from typing import Any

KINDS: dict[str, int]

class RuleSettings:
    kind: str
    options: dict[str, Any]
    def __init__(
        self,
        kind: str,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        l2_shared: bool = False,
        **options: Any,
    ) -> None: ...
