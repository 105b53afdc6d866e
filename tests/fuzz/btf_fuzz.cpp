// BTF from a guest: parse, then ask everything of what was accepted. The first byte says where the input is cut into a
// base and a split blob (0: no split; 255: the rest is a pattern of which a large blob is made, see blown_up()).
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "support/synthetic_memory.h"
#include "vitrine/types/catalog.h"
#include "vitrine/types/object_text.h"

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

// Memory of all ones: every pointer leads out of it, every number is the largest.
const vitrine::AddressSpace& all_ones() {
    static vitrine::testing::SyntheticMemory memory(std::uint64_t{1} << 16);
    static const vitrine::AddressSpace space = [] {
        memory.fill(vitrine::Gpa{0}, 1u << 16, std::byte{0xff});
        return vitrine::AddressSpace(memory, vitrine::PagingMode::none, vitrine::Gpa{0});
    }();
    return space;
}

// An object of any type can be shown, in bounded text.
void show(const TypeCatalog& types, TypeId id) {
    vitrine::DescribeOptions options;
    options.nodes = 256;
    options.time = std::chrono::milliseconds(50);
    const vitrine::Object object(all_ones(), types, id, vitrine::Gva{0x100});
    require(vitrine::object_text(object, options).size() < (1u << 20));
    for (const Member& m : types.members(*types.type(types.strip(id)))) {
        if (m.name != 0) (void)object.member(types.name(m.name));
        break;
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
        if (id < 32) show(types, id);
        check_fields(types, id, type);
        for (const Enumerator& e : types.enumerators(type)) (void)types.name(e.name);
    }
}

// Up to 2 MiB out of a few bytes: a record again and again, each naming a string a little further on, and one string again and again.
// Finds what takes longer the larger it is.
std::vector<std::byte> blown_up(std::span<const std::byte> pattern) {
    if (pattern.size() < 5 + 12) return {};
    const auto number = [&](std::size_t i) { return std::to_integer<std::uint32_t>(pattern[i]); };
    const std::span<const std::byte> record = pattern.subspan(5,
                                                              std::min<std::size_t>(pattern.size() - 5, 4096) / 4 * 4);
    const auto record_size = static_cast<std::uint32_t>(record.size());
    const std::uint32_t types = number(0) * 4096 / record_size * record_size, strings = (number(1) + 1) * 4096;
    const std::uint32_t name_step = number(2), string_length = number(3) * 4 + number(4) + 1;
    std::vector<std::byte> blob(24 + std::size_t{types} + strings, std::byte{'A'});
    const std::uint32_t header[] = {0x0001eb9f, 24, 0, types, types, strings};
    std::memcpy(blob.data(), header, sizeof header);
    std::uint32_t name = 1;
    for (std::size_t at = 0; at < types; at += record.size()) {
        std::memcpy(blob.data() + 24 + at, record.data(), record.size());
        std::memcpy(blob.data() + 24 + at, &name, 4);
        name = (name + name_step) % strings;
    }
    for (std::size_t at = 0; at < strings; at += string_length) blob[24 + std::size_t{types} + at] = std::byte{0};
    blob.back() = std::byte{0};
    return blob;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const auto bytes = std::as_bytes(std::span(data, size)).subspan(1);
    if (data[0] == 255) {
        if (const auto types = vitrine::parse_btf(blown_up(bytes), "fuzz")) exercise(**types);
        return 0;
    }
    const std::size_t cut = std::size_t{data[0]} * 8;
    (void)vitrine::btf_extent(bytes);
    if (cut == 0 || cut >= bytes.size()) {
        if (const auto types = vitrine::parse_btf(bytes, "fuzz")) exercise(**types);
        return 0;
    }
    if (const auto types = vitrine::parse_split_btf(bytes.first(cut), bytes.subspan(cut), "fuzz")) exercise(**types);
    return 0;
}
