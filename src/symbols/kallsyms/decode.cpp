#include <algorithm>
#include <array>

#include "symbols/kallsyms/limits.h"
#include "symbols/kallsyms/reader.h"
#include "vitrine/symbols/kallsyms.h"

namespace vitrine {

using namespace kallsyms;

Result<void> decode_kallsyms(std::span<const std::byte> region, std::optional<Gva> region_va,
                             const KallsymsLayout& layout, SymbolTableBuilder& builder) {
    const KallsymsReader reader = VITRINE_TRY(KallsymsReader::open(region, region_va, layout));
    // Names expand to about twice their size. Every symbol takes two bytes of the region at least.
    const std::uint64_t packed = layout.markers > layout.names ? layout.markers - layout.names : 0;
    builder.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(reader.size(), region.size() / 2)),
                    static_cast<std::size_t>(std::min<std::uint64_t>(packed * 5 / 2, kMaxArenaBytes)));
    std::array<char, kMaxExpandedLength + TokenTable::kSlack> text;
    std::uint64_t total = 0;
    std::uint64_t at = layout.names;
    for (std::uint32_t i = 0; i < reader.size(); ++i) {
        const auto name = reader.name_at(at);
        if (!name) return Error::make(Errc::malformed, Origin::symbols, "a kallsyms name leaves the region");
        at = name->next;
        const auto length = reader.tokens().expand(name->codes, text.data());
        if (!length || *length == 0) {
            return Error::make(Errc::malformed, Origin::symbols, "a kallsyms name has an impossible length");
        }
        total += *length;
        if (total > kMaxArenaBytes) return Error::make(Errc::limit, Origin::symbols, "kallsyms names exceed 64 MiB");
        if (!builder.add(Gva{reader.address(i)}, {text.data() + 1, *length - 1}, text[0])) {
            return Error::make(Errc::limit, Origin::symbols, "the symbol table is full");
        }
    }
    return {};
}

Result<SymbolTable> decode_kallsyms(std::span<const std::byte> region, std::optional<Gva> region_va,
                                    const KallsymsLayout& layout) {
    SymbolTableBuilder builder;
    VITRINE_CHECK(decode_kallsyms(region, region_va, layout, builder));
    return builder.build();
}

}  // namespace vitrine
