// Page walks over tables that an attacker wrote: translation, enumeration and reading, over a mapped store and one reached
// by calls, must agree with each other, end within their budgets, and stay inside the memory.
//
// Input: mode, root page, 8 addresses, then the memory, from its first page on.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "support/vector_store.h"
#include "vitrine/memory/address_space.h"

using namespace vitrine;

namespace {

constexpr std::size_t kHeader = 2 + 8 * 8;
constexpr std::size_t kMemory = 8 * kPageSize;

void check(bool holds) {
    if (!holds) std::abort();
}

void check_address(GuestMemory& mapped, GuestMemory& called, const AddressSpace& space, const AddressSpace& other,
                   Gva address) {
    auto by_mapping = translate(mapped, space.mode(), space.root(), address);
    auto by_calls = translate(called, space.mode(), space.root(), address);
    check(by_mapping.has_value() == by_calls.has_value());
    if (by_mapping) check(by_mapping->address == by_calls->address);
    else check(by_mapping.error().code == by_calls.error().code);
    for (int round = 0; round < 2; ++round) {
        const auto one = space.read_value<std::uint8_t>(address);
        const auto two = other.read_value<std::uint8_t>(address);
        const auto truth = by_mapping ? mapped.read_value<std::uint8_t>(by_mapping->address)
                                      : Result<std::uint8_t>(by_mapping.error());
        check(one.has_value() == truth.has_value() && two.has_value() == truth.has_value());
        if (truth) check(*one == *truth && *two == *truth);
    }
    std::vector<std::byte> a(3 * kPageSize), b(3 * kPageSize);
    const auto prefix_a = space.read_prefix(address, a);
    const auto prefix_b = other.read_prefix(address, b);
    check(prefix_a.value() == prefix_b.value());
    check(std::memcmp(a.data(), b.data(), *prefix_a) == 0);
    if (auto text = space.read_c_string(address, 5000)) check(text->bytes.size() <= 5000);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < kHeader) return 0;
    const auto mode = static_cast<PagingMode>(data[0] % 5);
    const Gpa root{(data[1] % 10) * kPageSize};
    std::vector<std::byte> bytes(kMemory);
    std::memcpy(bytes.data(), data + kHeader, std::min(kMemory, size - kHeader));
    auto store = std::make_shared<testing::VectorStore>(bytes, true);
    store->present = {0xfd};  // one page goes through calls
    GuestMemory mapped(store, MemoryLayout::with_hole(kMemory, kMemory, "all"));
    GuestMemory called(std::make_shared<testing::VectorStore>(bytes), MemoryLayout::with_hole(kMemory, kMemory, "all"));
    const AddressSpace space(mapped, mode, root);
    const AddressSpace other(called, mode, root);
    for (std::size_t i = 0; i < 8; ++i) {
        std::uint64_t address = 0;
        std::memcpy(&address, data + 2 + 8 * i, 8);
        check_address(mapped, called, space, other, Gva{address});
    }
    std::uint64_t next = 0;
    std::size_t runs = 0;
    const WalkBudget budget{300, std::chrono::milliseconds(500)};
    const auto report = for_each_mapping(mapped, mode, root, Gva{0}, Gva{~0ull}, budget, [&](const MappedRun& run) {
        check(run.size > 0 && run.va.value >= next && run.va.value + (run.size - 1) >= run.va.value);
        next = run.va.value + (run.size - 1);
        auto got = translate(mapped, mode, root, run.va);
        // (Without paging, what is shown is RAM; translation does not ask for it.)
        check(got && got->address == run.pa && got->writable == run.writable && got->executable == run.executable);
        return ++runs < 50;
    });
    check(report.nodes <= budget.nodes);
    return 0;
}
