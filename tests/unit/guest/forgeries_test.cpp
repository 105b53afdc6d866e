// Memory full of what looks like a kernel and is none, as a process without any rights can make it: the kernel behind it is found
// all the same, or the answer says that the search was given up.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <functional>

#include "support/guest_test_support.h"

namespace vitrine::test {
namespace {

using Page = std::array<std::byte, kPageSize>;

// The lowest part of RAM is computed page by page; above lies what a made-up guest has.
class ForgedBelow final : public RamStore {
public:
    using Make = std::function<void(std::uint64_t number, Page&)>;
    ForgedBelow(std::shared_ptr<RamStore> inner, std::uint64_t end, Make make)
        : inner_(std::move(inner)), end_(end), make_(std::move(make)) {}
    [[nodiscard]] std::uint64_t size() const override { return inner_->size(); }
    [[nodiscard]] AccessMethod method() const override { return AccessMethod::synthetic; }
    [[nodiscard]] std::vector<StoreRange> populated(StoreRange within) override {
        if (within.offset >= end_) return inner_->populated(within);
        const std::uint64_t below = std::min(within.size, end_ - within.offset);
        std::vector<StoreRange> found{{within.offset, below}};
        if (below == within.size) return found;
        for (const StoreRange& part : inner_->populated({end_, within.size - below})) found.push_back(part);
        return found;
    }
    Result<void> read(std::span<StoreReadOp> ops) override {
        for (StoreReadOp& op : ops) {
            op.ok = op.offset <= size() && size() - op.offset >= op.out.size();
            op.status = Errc::out_of_range;
            if (!op.ok) continue;
            std::size_t done = 0;
            for (Page page; done < op.out.size() && op.offset + done < end_;) {
                const std::uint64_t at = op.offset + done;
                const std::size_t take = std::min<std::size_t>(kPageSize - at % kPageSize, op.out.size() - done);
                page.fill(std::byte{0});
                make_(at / kPageSize, page);
                std::memcpy(op.out.data() + done, page.data() + at % kPageSize, take);
                done += take;
            }
            if (done == op.out.size()) continue;
            StoreReadOp rest = op;
            rest.offset += done;
            rest.out = op.out.subspan(done);
            VITRINE_CHECK(inner_->read(std::span(&rest, 1)));
            op.ok = rest.ok;
        }
        return {};
    }

private:
    std::shared_ptr<RamStore> inner_;
    std::uint64_t end_;
    Make make_;
};

constexpr std::uint64_t kForged = 300u << 20;  // more pages than page-table targets are kept

GuestDescription high_guest() {
    GuestDescription d;
    d.text_pa = 0x1400'0000;
    d.heap_pa = d.text_pa + 0x60'0000;
    d.ram = {{Gpa{0}, d.text_pa + (16u << 20)}};
    return d;
}

Result<std::unique_ptr<Guest>> attach_over(const SyntheticGuest& made, FindRoute route, ForgedBelow::Make make) {
    AttachOptions options;
    options.use_cache = false;
    options.only_route = route;
    options.patience *= Bounded::kSlower;
    return Guest::attach(made.machine_over(std::make_shared<ForgedBelow>(made.store(), kForged, std::move(make))),
                         options);
}

void put_word(Page& page, std::size_t at, std::uint64_t value) { std::memcpy(page.data() + at, &value, sizeof value); }
void put_text(Page& page, const std::string& text) { std::memcpy(page.data(), text.data(), text.size()); }

std::string vmcoreinfo(const SyntheticGuest& g, Gpa root) {
    const std::uint64_t phys_base = g.d.text_pa - (g.text.value - SyntheticGuest::kImageMap);
    return fmt::format("OSRELEASE=6.1.0\nSYMBOL(swapper_pg_dir)={:x}\nNUMBER(phys_base)={}\n",
                       root.value - phys_base + SyntheticGuest::kImageMap, static_cast<std::int64_t>(phys_base));
}

// Every page a root of its own.
TEST(Forgeries, MorePageTableTargetsThanAreKept) {
    const SyntheticGuest made(high_guest());
    const auto guest = attach_over(made, FindRoute::page_tables, [](std::uint64_t number, Page& page) {
        put_word(page, 511 * 8, ((number + 1) * kPageSize) | 0x63);
    });
    ASSERT_TRUE(guest) << guest.error().to_string();
    EXPECT_EQ((*guest)->kernel().text_va, made.text);
}

// The same, and each of them leads to a page directory with something in it.
TEST(Forgeries, MoreTargetsThatLeadSomewhereThanAreKept) {
    const SyntheticGuest made(high_guest());
    const auto make = [](std::uint64_t number, Page& page) {
        constexpr std::uint64_t kDirectory = 2, kLeaf = 3;
        if (number == kDirectory)
            for (std::size_t i = 8; i < 512; ++i) put_word(page, i * 8, (kLeaf * kPageSize) | 0x63);
        else if (number == kLeaf)
            for (std::size_t i = 0; i < 512; ++i) put_word(page, i * 8, (i * kPageSize) | 0x63);
        if (number <= kLeaf) return;
        put_word(page, 510 * 8, (kDirectory * kPageSize) | 0x63);
        put_word(page, 511 * 8, ((number + 1) * kPageSize) | 0x63);
    };
    const auto guest = attach_over(made, FindRoute::page_tables, make);
    ASSERT_TRUE(guest) << guest.error().to_string();
    EXPECT_EQ((*guest)->kernel().text_va, made.text);
}

// Where there is no kernel behind them, the answer says that not all were kept.
TEST(Forgeries, TargetsLeftOutAreTold) {
    GuestDescription d = high_guest();
    SyntheticGuest made(d);
    damages().at("all_roots_self_map")(made);
    const auto guest = attach_over(made, FindRoute::page_tables, [](std::uint64_t number, Page& page) {
        if (number == 2)
            for (std::size_t i = 8; i < 512; ++i) put_word(page, i * 8, 0x63);
        if (number < 4) return;
        put_word(page, 510 * 8, 2 * kPageSize | 0x63);
        put_word(page, 511 * 8, ((number + 1) * kPageSize) | 0x63);
    });
    ASSERT_FALSE(guest);
    EXPECT_THAT(guest.error().to_string(), ::testing::HasSubstr("left out for want of room"));
}

TEST(Forgeries, VmcoreinfoPagesThatLeadNowhere) {
    const SyntheticGuest made(high_guest());
    const auto guest = attach_over(made, FindRoute::vmcoreinfo, [&](std::uint64_t number, Page& page) {
        // To pages of nothing, to each other, and to a process's own tables, which are no part of the image they map.
        if (number < 2000) put_text(page, vmcoreinfo(made, Gpa{number * kPageSize}));
        else if (number < 3000) put_text(page, vmcoreinfo(made, made.tasks[1].root));
    });
    ASSERT_TRUE(guest) << guest.error().to_string();
    EXPECT_EQ((*guest)->kernel().text_va, made.text);
}

// Copies of the kernel's own top-level table, inside its image: each is worth a full look.
TEST(Forgeries, MoreVmcoreinfoPagesThanAreTried) {
    SyntheticGuest made(high_guest());
    damages().at("banner")(made);
    constexpr std::uint64_t kCopies = 70;
    const Gpa copies = made.physical(made.symbol("_end").wrap_minus(kCopies * kPageSize));
    Page top;
    made.ram.read(made.root(), top);
    for (std::uint64_t i = 0; i < kCopies; ++i) made.ram.write(copies.wrap_plus(i * kPageSize), top);
    const auto guest = attach_over(made, FindRoute::vmcoreinfo, [&](std::uint64_t number, Page& page) {
        if (number < kCopies) put_text(page, vmcoreinfo(made, copies.wrap_plus(number * kPageSize)));
    });
    ASSERT_FALSE(guest);
    EXPECT_THAT(guest.error().to_string(), ::testing::HasSubstr("gave up at the limit of candidates"));
}

// Digits in UTF-16 all over, and token tables without names.
TEST(Forgeries, AnchorsOfSymbolTablesThatAreNone) {
    const SyntheticGuest made(high_guest());
    std::vector<std::byte> tokens(made.kallsyms_layout.token_index + 512 - made.kallsyms_layout.token_table);
    made.ram.read(made.physical(made.kallsyms_region.wrap_plus(made.kallsyms_layout.token_table)), tokens);
    const auto guest = attach_over(made, FindRoute::scan, [&](std::uint64_t number, Page& page) {
        constexpr std::uint64_t kApart = (4u << 20) / kPageSize;  // each in front of its chunk
        const std::uint64_t offset = number % kApart * kPageSize;
        if (offset < tokens.size() && number / kApart < 70) {
            std::memcpy(page.data(), tokens.data() + offset, std::min(tokens.size() - offset, page.size()));
        } else if (number % 8 == 1) {
            for (std::size_t i = 0; i < 2000; i += 2) page[i] = static_cast<std::byte>('0' + i / 2 % 10);
        }
    });
    ASSERT_TRUE(guest) << guest.error().to_string();
    EXPECT_EQ((*guest)->kernel().text_va, made.text);
}

// Every vCPU on tables of its own that lead to a kernel which is none.
TEST(Forgeries, TheWholeAttachHasOneBudget) {
    SyntheticGuest made(GuestDescription{});
    damages().at("banner")(made);
    Page top;
    made.ram.read(made.tasks[1].root, top);
    std::vector<VcpuState> vcpus;
    for (int i = 0; i < 400; ++i) {
        VcpuState vcpu = made.vcpus().front();
        const Gpa copy = made.physical(made.alloc(2 * kPageSize, 2 * kPageSize));
        made.ram.write(copy, top);
        vcpu.cr3 = copy.value;
        vcpus.push_back(vcpu);
    }
    AttachOptions options;
    options.use_cache = false;
    options.patience = std::chrono::milliseconds(30);
    const Bounded bounded("an attach of 30 ms");
    const auto guest = Guest::attach(made.machine(std::move(vcpus)), options);
    ASSERT_FALSE(guest);
    EXPECT_THAT(guest.error().to_string(),
                ::testing::HasSubstr("the 30 ms for following what looks like a kernel ran out"));
}

TEST(Forgeries, WithoutPatienceNothingIsTried) {
    const SyntheticGuest made(GuestDescription{});
    AttachOptions options;
    options.use_cache = false;
    options.patience = {};
    const auto guest = Guest::attach(made.machine(made.vcpus()), options);
    ASSERT_FALSE(guest);
    EXPECT_THAT(guest.error().to_string(), ::testing::HasSubstr("ran out"));
}

}  // namespace
}  // namespace vitrine::test
