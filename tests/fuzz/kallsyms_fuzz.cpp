// Finding, decoding and looking up in a hostile guest's read-only data. The first byte chooses: the rest is such data as it is,
// or a list of edits to well-formed tables of one of the layouts, or to the description of their layout.
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "support/kallsyms_encoder.h"
#include "vitrine/symbols/kallsyms.h"

namespace {

using namespace vitrine;
using Bytes = std::vector<std::byte>;

void require(bool condition) {
    if (!condition) std::abort();
}

// What decoding tells and what lookups tell must agree.
void use_layout(std::span<const std::byte> region, std::optional<Gva> va, const KallsymsLayout& layout) {
    const auto table = decode_kallsyms(region, va, layout);
    std::vector<std::string> names = {"_text", "absent", "", "__func__.1", "a.b"};
    if (table) {
        require(table->size() == layout.num_syms);
        for (std::size_t i = 0; i < 16; ++i) names.emplace_back(table->at(i * 7919 % table->size()).name);
        for (std::size_t i = 0; i < 16; ++i) {
            const Symbol symbol = table->at(i * 104729 % table->size());
            const auto nearest = table->nearest(symbol.address);
            if (symbol.type != 'A' && symbol.type != 'a') require(nearest && nearest->offset == 0);
        }
    }
    // One name more than fits the index makes lookups pass over all names; both ways are wanted here.
    const std::vector<std::string_view> wanted(names.begin(), names.end());
    const std::span<const std::string_view> few(wanted.data(), std::min<std::size_t>(wanted.size(), 3));
    auto without_seqs = layout;
    without_seqs.seqs_of_names.reset();
    const auto passed = lookup_kallsyms(region, va, without_seqs, wanted);
    const auto searched = lookup_kallsyms(region, va, layout, few);
    require(passed.size() == wanted.size() && searched.size() == few.size());
    if (!table) return;
    for (std::size_t i = 0; i < wanted.size(); ++i) require(passed[i] == table->address_of(wanted[i]));
    for (std::size_t i = 0; i < few.size(); ++i) {
        if (!searched[i]) continue;
        bool exists = false;
        for (const Symbol& symbol : table->all_by_name(few[i])) exists = exists || symbol.address == *searched[i];
        require(exists);
    }
}

void use_region(std::span<const std::byte> region, std::optional<Gva> va) {
    const auto found = find_kallsyms(region, va);
    if (!found) return;
    require(!found->empty());
    for (const KallsymsLayout& layout : *found) {
        require(layout.num_syms > 0 && layout.num_markers == (layout.num_syms + 255) / 256);
        use_layout(region, va, layout);
    }
}

std::vector<test::Encoded> make_bases() {
    using enum KallsymsAddressing;
    const test::EncodeOptions kinds[] = {
        {.addressing = base_relative_before, .absolute_percpu = true, .seqs_entry_size = 3},
        {.addressing = base_relative_before, .absolute_percpu = true, .marker_size = 8, .uleb = false},
        {.addressing = base_relative_after, .absolute_percpu = true, .seqs_entry_size = 3},
        {.addressing = base_relative_after, .seqs_entry_size = 4},
        {.addressing = place_relative, .seqs_entry_size = 3, .alignment = 4},
        {.addressing = absolute, .addresses_after = false, .uleb = false},
        {.addressing = absolute, .seqs_entry_size = 3},
    };
    std::vector<test::Encoded> bases;
    for (auto options : kinds) {
        options.noise_before = 64;
        options.noise_after = 64;
        const auto symbols = test::kernel_like_symbols(900, options.absolute_percpu ? 20 : 0, options.uleb ? 300 : 200);
        bases.push_back(test::encode_kallsyms(symbols, options));
    }
    return bases;
}

// Reads the edits: each is an offset of two bytes and a new byte; offsets beyond the region cut it.
Bytes edited(const Bytes& base, std::span<const std::uint8_t> edits) {
    Bytes region = base;
    for (; edits.size() >= 3; edits = edits.subspan(3)) {
        const std::size_t at = edits[0] | static_cast<std::size_t>(edits[1]) << 8;
        if (at < region.size()) {
            region[at] = static_cast<std::byte>(edits[2]);
        } else {
            region.resize(region.size() - region.size() * (edits[2] % 32) / 64);
        }
    }
    return region;
}

KallsymsLayout edited(KallsymsLayout layout, std::span<const std::uint8_t> edits) {
    const auto number = [&](auto& field) {
        if (edits.size() < 9 || edits[0] % 2 == 0) {
            edits = edits.subspan(std::min<std::size_t>(edits.size(), 1));
            return;
        }
        std::uint64_t value = 0;
        std::memcpy(&value, edits.data() + 1, sizeof value);
        field = static_cast<std::remove_reference_t<decltype(field)>>(value);
        edits = edits.subspan(9);
    };
    number(layout.token_table);
    number(layout.token_index);
    number(layout.markers);
    number(layout.names);
    number(layout.num_syms);
    number(layout.num_markers);
    number(layout.marker_size);
    number(layout.addresses);
    number(layout.relative_base);
    number(layout.seqs_entry_size);
    if (layout.seqs_of_names) number(*layout.seqs_of_names);
    return layout;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const std::vector<test::Encoded> bases = make_bases();
    constexpr Gva kAddress{0xffffffff81010000};
    if (size == 0) return 0;
    const std::uint8_t choice = data[0];
    const std::span<const std::uint8_t> rest(data + 1, size - 1);
    const test::Encoded& base = bases[choice / 4 % bases.size()];
    switch (choice % 4) {
        case 0: use_region(std::as_bytes(rest), kAddress); break;
        case 1: use_region(std::as_bytes(rest), std::nullopt); break;
        case 2: use_region(edited(base.region, rest), kAddress); break;
        default: {
            const auto layout = edited(base.layout, rest);
            use_layout(base.region, kAddress, layout);
            break;
        }
    }
    return 0;
}
