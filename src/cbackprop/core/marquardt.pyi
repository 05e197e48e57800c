EVIDENCE: dict[str, int]
