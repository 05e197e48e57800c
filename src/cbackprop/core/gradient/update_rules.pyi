from typing import Any

RULES: dict[str, tuple[str, ...]]

class RuleSettings:
    name: str
    options: dict[str, Any]
    def __init__(
        self,
        name: str,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        l2_shared: bool = False,
        **options: Any,
    ) -> None: ...
    def but(self, *, l2_shared: bool | None = None, **options: Any) -> RuleSettings: ...
