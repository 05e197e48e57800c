from typing import Literal

class Plan:
    sizes: tuple[int, ...]
    activations: tuple[int, ...]
    bias: bool
    dtype: str
    may_thread_blas: bool
    def __new__(
        cls,
        sizes: tuple[int, ...],
        activations: tuple[int, ...],
        bias: bool,
        dtype: str,
        *,
        block_rows: int = 0,
        leaf_rows: int = 0,
        super_rows: int = 0,
        partition: Literal["leaves", "tiles"] | None = None,
        few_rows: int = -1,
    ) -> Plan: ...
    @property
    def n_parameters(self) -> int: ...
    @property
    def block_rows(self) -> int: ...
    @property
    def leaf_rows(self) -> int: ...
    @property
    def super_rows(self) -> int: ...
    @property
    def partition(self) -> Literal["leaves", "tiles"]: ...
    @property
    def few_rows(self) -> int: ...
    @property
    def tiles(self) -> list[tuple[int, int, int, int, int]]: ...
