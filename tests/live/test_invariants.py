"""What every table says must hold of a guest that nobody tampered with, and the questions it gives as examples, asked of real kernels."""


def test_invariants_and_queries(vitrine, images):
    asked = 0
    for table in vitrine.rows("schema"):
        if table["kind"] != "table":
            continue
        for invariant in table["invariants"]:
            rows = vitrine.rows("sql", images.elf, invariant["sql"])
            assert rows == [], f"{table['name']}: {invariant['name']}: {rows[:3]}"
            asked += 1
        for query in table["queries"]:
            vitrine.rows("sql", images.elf, query)
            asked += 1
    assert asked > 40
