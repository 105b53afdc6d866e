"""What every table says must hold of a guest that nobody tampered with, and the questions it gives as examples, asked of real kernels."""

# Tables about what an image of memory may lack, or that say something of an answer before.
WITHOUT_INVARIANTS = {"vitrine_diagnostics", "vcpus", "guest_memory_map"}
# Kernels before 5.11 keep no types of modules: what needs them is said, and such an answer is not complete.
INCOMPLETE = {"5.10": {"types", "type_members"}}


def test_invariants_and_queries(vitrine, images):
    may_lack = next((tables for release, tables in INCOMPLETE.items() if images.meta["release"].startswith(release)), set())
    tables = [table for table in vitrine.rows("schema") if table["kind"] == "table"]
    for table in tables:
        name = table["name"]
        assert name in WITHOUT_INVARIANTS or table["invariants"], f"{name} has no invariant"
        assert table["queries"] or name in WITHOUT_INVARIANTS, f"{name} has no query"
        strict = [] if name in may_lack else ["--strict"]
        for invariant in table["invariants"]:
            rows = vitrine.rows("sql", *strict, images.elf, invariant["sql"])
            assert rows == [], f"{name}: {invariant['name']}: {rows[:3]}"
        for query in table["queries"]:
            vitrine.rows("sql", images.elf, query)
    assert len(tables) >= 18
