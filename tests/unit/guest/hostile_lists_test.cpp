// Lists that are far longer than memory could hold if they were honest, and tables that hold more than is reasonable.
#include <algorithm>
#include <chrono>
#include <functional>

#include "os/linux/module_btf.h"
#include "support/guest_test_support.h"

namespace vitrine::test {
namespace {

// A structure begins in front of its links: so many nodes are no part of the list, for there to be memory.
constexpr std::uint64_t kSkipped = 65536;

// RAM that is computed: a list_head every 16 bytes, each linked with the next and the one before. Ten million nodes cost nothing.
class EndlessList final : public RamStore {
public:
    EndlessList(std::shared_ptr<RamStore> inner, std::uint64_t nodes_at, std::uint64_t count, Gva first, Gva head)
        : inner_(std::move(inner)), nodes_at_(nodes_at), count_(count), first_(first), head_(head) {}
    [[nodiscard]] std::uint64_t size() const override { return nodes_at_ + count_ * 16; }
    [[nodiscard]] AccessMethod method() const override { return AccessMethod::synthetic; }
    [[nodiscard]] std::vector<StoreRange> populated(StoreRange within) override {
        if (within.offset >= nodes_at_) return {};
        return {{within.offset, std::min(within.size, nodes_at_ - within.offset)}};
    }
    Result<void> read(std::span<StoreReadOp> ops) override {
        for (StoreReadOp& op : ops) {
            op.ok = op.offset <= size() && size() - op.offset >= op.out.size();
            op.status = Errc::out_of_range;
            if (!op.ok) continue;
            if (op.offset < nodes_at_) {
                VITRINE_CHECK(inner_->read(std::span(&op, 1)));
                continue;
            }
            for (std::size_t i = 0; i < op.out.size(); ++i) op.out[i] = byte_at(op.offset - nodes_at_ + i);
        }
        return {};
    }

private:
    [[nodiscard]] std::byte byte_at(std::uint64_t offset) const {
        const std::uint64_t node = offset / 16;
        const bool is_next = offset % 16 < 8;
        const std::uint64_t next = node + 1 == count_ ? head_.value : first_.value + (node + 1) * 16;
        const std::uint64_t previous = node == kSkipped ? head_.value : first_.value + (node - 1) * 16;
        return static_cast<std::byte>((is_next ? next : previous) >> (offset % 8 * 8));
    }

    std::shared_ptr<RamStore> inner_;
    std::uint64_t nodes_at_;
    std::uint64_t count_;
    Gva first_, head_;
};

constexpr std::uint64_t kNodes = 10'000'000;
constexpr Gva kFirst{0xffff'c000'0000'0000};

// A guest whose head of that name leads into the endless list.
struct Endless {
    explicit Endless(const std::function<Gva(SyntheticGuest&)>& head_of) {
        GuestDescription d;
        d.types.seed = 80;
        made = std::make_unique<SyntheticGuest>(d);
        const Gva head = head_of(*made);
        const std::uint64_t at = made->ram.size();
        for (std::uint64_t offset = 0; offset < kNodes * 16; offset += 2u << 20) {
            made->tables().map(kFirst.wrap_plus(offset), Gpa{at + offset}, 2u << 20, SyntheticGuest::Tables::kWrite);
        }
        made->put(head, kFirst.wrap_plus(kSkipped * 16));
        made->put(head.wrap_plus(8), kFirst.wrap_plus((kNodes - 1) * 16));
        auto store = std::make_shared<EndlessList>(made->store(), at, kNodes, kFirst, head);
        MemoryLayout layout = MemoryLayout::with_hole(store->size(), store->size(), "flat");
        layout.certain = true;
        auto attached = attach(std::make_unique<SyntheticMachine>(store, std::vector{layout}, made->vcpus()));
        EXPECT_TRUE(attached) << (attached ? "" : attached.error().to_string());
        if (attached) guest = std::move(*attached);
    }
    std::unique_ptr<SyntheticGuest> made;
    std::unique_ptr<Guest> guest;
};

struct Counter final : RowSink {
    bool row(std::span<const Value>) override { return ++rows != 0; }
    void diagnostic(Diagnostic) override { ++diagnostics; }
    std::size_t rows = 0;
    std::size_t diagnostics = 0;
};

// The nodes of such a list overlap: what they say of themselves is each other's links.
TEST(HostileLists, TenMillionTasks) {
    const Endless endless([](SyntheticGuest& g) { return g.member(g.symbol("init_task"), "task_struct.tasks"); });
    ASSERT_NE(endless.guest, nullptr);
    for (const std::string_view name : {"processes", "process_threads"}) {
        const Bounded bounded("ten million tasks: " + std::string(name), 4.0);
        const Table& table = *find_table(name);
        QueryContext context;
        context.budget.time = std::chrono::milliseconds(1000);
        Counter counter;
        const auto began = std::chrono::steady_clock::now();
        const auto report = run_table(table, *endless.guest, context, counter);
        ASSERT_TRUE(report) << report.error().to_string();
        EXPECT_NE(report->end, WalkEnd::complete) << name << ", " << counter.rows << " rows";
        EXPECT_LE(counter.rows, context.budget.nodes);
        EXPECT_LT(counter.diagnostics, 5000u) << name;
        EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(10 * Bounded::kSlower)) << name;
    }
}

TEST(HostileLists, TenMillionModules) {
    const Endless endless([](SyntheticGuest& g) { return g.symbol("modules"); });
    ASSERT_NE(endless.guest, nullptr);
    {
        const Bounded bounded("ten million modules", 4.0);
        QueryContext context;
        context.budget.time = std::chrono::milliseconds(1000);
        Counter counter;
        const auto report = run_table(*find_table("kernel_modules"), *endless.guest, context, counter);
        ASSERT_TRUE(report) << report.error().to_string();
        EXPECT_EQ(report->end, WalkEnd::budget);
    }
    const Bounded bounded("their symbols", 12.0);
    const auto symbols = endless.guest->symbols();
    ASSERT_TRUE(symbols) << symbols.error().to_string();
    EXPECT_FALSE(endless.guest->as_linux()->symbols_missing().empty());
}

TEST(HostileLists, TenMillionModulesWithTypes) {
    const Endless endless([](SyntheticGuest& g) { return g.symbol("btf_modules"); });
    ASSERT_NE(endless.guest, nullptr);
    const Bounded bounded("types of ten million modules", 4.0);
    constexpr std::size_t kMost = 1u << 16;
    const auto listed = linux_os::list_module_btf(*endless.guest->as_linux(), {kMost, std::chrono::milliseconds(1000)});
    ASSERT_TRUE(listed) << listed.error().to_string();
    EXPECT_EQ(listed->report.end, WalkEnd::budget);
    EXPECT_LE(listed->modules.size() + listed->unread.size(), kMost);
}

}  // namespace
}  // namespace vitrine::test
