// BTF from a guest: parse, then ask everything of what was accepted. The first byte says where the input is cut into a
// base and a split blob (0: no split).
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "vitrine/types/catalog.h"

namespace {

using vitrine::Enumerator;
using vitrine::Member;
using vitrine::Type;
using vitrine::TypeCatalog;
using vitrine::TypeId;

void require(bool holds) {
    if (!holds) __builtin_trap();
}

// A field must lie inside its structure, or the catalog's promise is broken.
void check_fields(const TypeCatalog& types, TypeId id, const Type& type) {
    std::size_t looked = 0;
    for (const Member& m : types.members(type)) {
        if (++looked > 64) return;
        if (m.name == 0) continue;
        const auto name = types.name(m.name);
        const auto field = types.field(id, name);
        if (field && type.kind == vitrine::TypeKind::structure) {
            const std::uint64_t bits = field->bit_size != 0 ? field->bit_size : field->size * 8;
            require(field->bit_offset + bits <= type.size * 8);
        }
        (void)types.field(id, std::string(name) + "[1]." + std::string(name));
    }
}

void exercise(const TypeCatalog& types) {
    const std::size_t limit = types.size() < 512 ? types.size() : 512;
    for (TypeId id = 0; id < limit; ++id) {
        const Type& type = *types.type(id);
        require(types.strip(id) < types.size());
        (void)types.size_of(id);
        (void)types.find(types.type_name(id));
        require(types.declaration(id, "x").size() < (1u << 22));
        if (id < 32) require(types.definition(id).size() < (1u << 24));
        check_fields(types, id, type);
        for (const Enumerator& e : types.enumerators(type)) (void)types.name(e.name);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const auto bytes = std::as_bytes(std::span(data, size)).subspan(1);
    const std::size_t cut = std::size_t{data[0]} * 8;
    (void)vitrine::btf_extent(bytes);
    if (cut == 0 || cut >= bytes.size()) {
        if (const auto types = vitrine::parse_btf(bytes, "fuzz")) exercise(**types);
        return 0;
    }
    if (const auto types = vitrine::parse_split_btf(bytes.first(cut), bytes.subspan(cut), "fuzz")) exercise(**types);
    return 0;
}
