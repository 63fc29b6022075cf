"""The suites that every implementation of a protocol passes: ours, and yours.

`store.StoreConformance` is for stores, `index.IndexConformance` for search indexes, `memory.MemoryConformance` for
memories, `embedder.EmbedderConformance` for embedders, `token_counter.TokenCounterConformance` for token counters,
`artifact_store.ArtifactStoreConformance` for artifact stores, `event_log.EventLogConformance` for event logs,
`shared_state.SharedStateConformance` for shared state, `observer.ObserverConformance` for observers,
`masker.MaskerConformance` for maskers, `masker_vault.VaultConformance` for their vaults; their docstrings have
examples. The suites need pytest, and anyio's pytest plugin.
"""

import pytest

# A failed assert shows its values only in modules that pytest knows before they are imported.
pytest.register_assert_rewrite(
    f"{__name__}.artifact_store_isolation",
    f"{__name__}.artifact_store_puts",
    f"{__name__}.artifact_store_reads",
    f"{__name__}.artifact_store_workbench",
    f"{__name__}.embedder",
    f"{__name__}.event_log_histories",
    f"{__name__}.event_log_places",
    f"{__name__}.event_log_reading",
    f"{__name__}.event_log_workbench",
    f"{__name__}.event_log_writing",
    f"{__name__}.index_concurrency",
    f"{__name__}.index_deletion",
    f"{__name__}.index_filters",
    f"{__name__}.index_isolation",
    f"{__name__}.index_nearest",
    f"{__name__}.index_pages",
    f"{__name__}.index_places",
    f"{__name__}.index_puts",
    f"{__name__}.index_words",
    f"{__name__}.index_workbench",
    f"{__name__}.masker",
    f"{__name__}.masker_vault",
    f"{__name__}.memory_forgetting",
    f"{__name__}.memory_isolation",
    f"{__name__}.memory_recall",
    f"{__name__}.memory_remembering",
    f"{__name__}.memory_sharing",
    f"{__name__}.observer",
    f"{__name__}.shared_state_changes",
    f"{__name__}.shared_state_sharing",
    f"{__name__}.shared_state_workbench",
    f"{__name__}.store_audit",
    f"{__name__}.store_concurrency",
    f"{__name__}.store_contention",
    f"{__name__}.store_erasure",
    f"{__name__}.store_forks",
    f"{__name__}.store_isolation",
    f"{__name__}.store_leases",
    f"{__name__}.store_listing",
    f"{__name__}.store_reads",
    f"{__name__}.store_rewinds",
    f"{__name__}.store_transactions",
    f"{__name__}.store_writes",
    f"{__name__}.token_counter",
)
