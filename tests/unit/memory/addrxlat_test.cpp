// The page walker against an independent one: libkdumpfile's addrxlat, over random tables.
#include <gtest/gtest.h>
#include <libkdumpfile/addrxlat.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "support/synthetic_memory.h"
#include "vitrine/memory/address_space.h"
#include "vitrine/memory/paging.h"

namespace vitrine {
namespace {

using testing::SyntheticMemory;

// addrxlat over the same memory.
class Judge {
public:
    Judge(PhysicalMemory& memory, PagingMode mode, Gpa root)
        : memory_(memory), context_(addrxlat_ctx_new()), system_(addrxlat_sys_new()) {
        addrxlat_cb_t* callbacks = addrxlat_ctx_add_cb(context_);
        callbacks->priv = this;
        callbacks->get_page = get_page;
        callbacks->read_caps = [](const addrxlat_cb_t*) { return ADDRXLAT_CAPS(ADDRXLAT_MACHPHYSADDR); };
        method_.kind = ADDRXLAT_PGT;
        method_.target_as = ADDRXLAT_MACHPHYSADDR;
        auto& table = method_.param.pgt;
        table.root = {root.value, ADDRXLAT_MACHPHYSADDR};
        table.pte_mask = 0;
        const auto form = [&](addrxlat_pte_format_t format, std::initializer_list<unsigned short> bits) {
            table.pf.pte_format = format;
            table.pf.nfields = static_cast<unsigned short>(bits.size());
            std::copy(bits.begin(), bits.end(), table.pf.fieldsz);
        };
        switch (mode) {
            case PagingMode::x86_32: form(ADDRXLAT_PTE_IA32, {12, 10, 10}); break;
            case PagingMode::x86_pae: form(ADDRXLAT_PTE_IA32_PAE, {12, 9, 9, 2}); break;
            case PagingMode::x86_64_5level: form(ADDRXLAT_PTE_X86_64, {12, 9, 9, 9, 9, 9}); break;
            default: form(ADDRXLAT_PTE_X86_64, {12, 9, 9, 9, 9}); break;
        }
    }
    Judge(const Judge&) = delete;
    Judge& operator=(const Judge&) = delete;
    ~Judge() {
        addrxlat_sys_decref(system_);
        addrxlat_ctx_decref(context_);
    }

    std::optional<std::uint64_t> translate(Gva address) {
        addrxlat_step_t step{};
        step.ctx = context_;
        step.sys = system_;
        step.meth = &method_;
        step.base.addr = address.value;  // the walk begins with what it finds here
        const addrxlat_status status = addrxlat_walk(&step);
        addrxlat_ctx_clear_err(context_);
        if (status != ADDRXLAT_OK) return std::nullopt;
        return step.base.addr;
    }

private:
    using Page = std::array<std::byte, kPageSize>;

    static addrxlat_status get_page(const addrxlat_cb_t* callbacks, addrxlat_buffer_t* buffer) {
        auto& self = *static_cast<Judge*>(callbacks->priv);
        const std::uint64_t start = buffer->addr.addr & ~(kPageSize - 1);
        auto page = std::make_unique<Page>();  // addrxlat keeps several at a time
        if (!self.memory_.read(Gpa{start}, *page))
            return addrxlat_ctx_err(self.context_, ADDRXLAT_ERR_NODATA, "outside RAM");
        buffer->addr.addr = start;
        buffer->ptr = page->data();
        buffer->size = page->size();
        buffer->byte_order = ADDRXLAT_LITTLE_ENDIAN;
        buffer->put_page = [](const addrxlat_buffer_t* used) { delete static_cast<Page*>(used->priv); };
        buffer->priv = page.release();
        return ADDRXLAT_OK;
    }

    PhysicalMemory& memory_;
    addrxlat_ctx_t* context_;
    addrxlat_sys_t* system_;
    addrxlat_meth_t method_{};
};

struct Counts {
    unsigned translated = 0;
    unsigned refused = 0;
    unsigned reserved = 0;  // refused by us for reserved bits, which addrxlat does not look at
};

class AddrxlatComparison : public ::testing::TestWithParam<PagingMode> {};

constexpr std::uint64_t kRam = 256 * kPageSize;
constexpr std::uint64_t kRoot = 0x1000;

// A table entry that often points at another table, sometimes outside RAM, at times large or not present.
std::uint64_t random_entry(std::mt19937_64& random, PagingMode mode) {
    const bool is_32 = mode == PagingMode::x86_32;
    std::uint64_t raw = random() % 256 * kPageSize;
    if (random() % 16 == 0) raw = (is_32 ? random() & 0xffff'f000 : random() & kPteAddressMask);
    raw |= random() & 0x67;              // RW US PWT? A D
    raw |= random() % 8 != 0 ? 1u : 0u;  // present
    if (random() % 6 == 0) {             // large, where the level allows it
        raw |= 0x80;
        if (random() % 4 != 0) raw &= is_32 ? ~0x3f'f000ull : ~0x3fff'f000ull;  // mostly with the reserved bits clear
    }
    if (mode == PagingMode::x86_64_4level || mode == PagingMode::x86_64_5level) raw |= random() & 0xfff0'0000'0000'0000;
    if (mode == PagingMode::x86_pae && random() % 2 == 0) raw |= 1ull << 63;
    return raw;
}

void fill_tables(SyntheticMemory& memory, std::mt19937_64& random, PagingMode mode) {
    for (std::uint64_t at = kRoot; at < kRam; at += mode == PagingMode::x86_32 ? 4 : 8) {
        const std::uint64_t raw = random_entry(random, mode);
        if (mode == PagingMode::x86_32) memory.write_value(Gpa{at}, static_cast<std::uint32_t>(raw));
        else memory.write_value(Gpa{at}, raw);
    }
    if (mode != PagingMode::x86_pae) return;
    for (std::uint64_t i = 0; i < 4; ++i)
        memory.write_value(Gpa{kRoot + 8 * i}, (random() % 256 * kPageSize) | (random() % 8 != 0 ? 1u : 0u));
}

Gva random_address(std::mt19937_64& random, PagingMode mode) {
    const std::uint64_t bits = random();
    switch (mode) {
        case PagingMode::x86_64_4level: {
            const std::uint64_t low = bits & 0xffff'ffff'ffff;
            if (random() % 32 == 0) return Gva{bits};  // mostly not canonical
            return Gva{(low >> 47) != 0 ? low | 0xffff'0000'0000'0000 : low};
        }
        case PagingMode::x86_64_5level: {
            const std::uint64_t low = bits & 0x01ff'ffff'ffff'ffff;
            if (random() % 32 == 0) return Gva{bits};
            return Gva{(low >> 56) != 0 ? low | 0xfe00'0000'0000'0000 : low};
        }
        default: return Gva{bits & 0xffff'ffff};
    }
}

TEST_P(AddrxlatComparison, RandomTables) {
    const PagingMode mode = GetParam();
    std::mt19937_64 random(4711 + static_cast<unsigned>(mode));
    Counts counts;
    for (int round = 0; round < 40; ++round) {
        SyntheticMemory memory(kRam);
        fill_tables(memory, random, mode);
        Judge judge(memory, mode, Gpa{kRoot});
        for (int i = 0; i < 2000; ++i) {
            const Gva address = random_address(random, mode);
            SCOPED_TRACE(::testing::Message() << "round " << round << std::hex << " va " << address.value);
            const auto ours = translate(memory, mode, Gpa{kRoot}, address);
            const auto theirs = judge.translate(address);
            if (ours) {
                ++counts.translated;
                ASSERT_TRUE(theirs.has_value()) << std::hex << ours->address.value;
                ASSERT_EQ(ours->address.value, *theirs);
            } else if (ours.error().code == Errc::malformed) {
                ++counts.reserved;
            } else {
                ++counts.refused;
                ASSERT_FALSE(theirs.has_value()) << ours.error().to_string();
            }
        }
    }
    RecordProperty("translated", static_cast<int>(counts.translated));
    RecordProperty("refused", static_cast<int>(counts.refused));
    RecordProperty("reserved", static_cast<int>(counts.reserved));
    // The comparison says something only if all outcomes are common.
    EXPECT_GT(counts.translated, 5000u);
    EXPECT_GT(counts.refused, 5000u);
    EXPECT_GT(counts.reserved, 100u);
}

INSTANTIATE_TEST_SUITE_P(Modes, AddrxlatComparison,
                         ::testing::Values(PagingMode::x86_32, PagingMode::x86_pae, PagingMode::x86_64_4level,
                                           PagingMode::x86_64_5level),
                         [](const auto& suite) {
                             std::string name(to_string(suite.param));
                             std::replace(name.begin(), name.end(), '-', '_');
                             return name;
                         });

}  // namespace
}  // namespace vitrine
