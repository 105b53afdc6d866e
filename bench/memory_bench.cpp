// Reading guest memory through the layers, with the same loop on a bare mapping beside it.
//
// A guest of 1 GiB in a memfd, a quarter of it page tables' targets: a direct map in 2 MiB pages, and the same bytes once
// more in 4 KiB pages, in shuffled order. Addresses are made beforehand and do not depend on what was read.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

#include "sources/file/mapped_store.h"
#include "support/page_table_builder.h"
#include "vitrine/memory/address_space.h"
#include "vitrine/memory/page_cache.h"

namespace {

using namespace vitrine;

constexpr std::uint64_t kSize = 1ull << 30;
constexpr std::uint64_t kData = 64ull << 20;  // from here on: data; below: page tables
constexpr std::uint64_t kDirectMap = 0xffff'8880'0000'0000;
constexpr std::uint64_t kSmallPages = 0xffff'c900'0000'0000;
constexpr std::uint64_t kSmallCount = 65536;
constexpr auto kMode = PagingMode::x86_64_4level;

// Access to the bytes while the guest is made.
struct Writer {
    std::byte* base;
    template <class T>
    void write_value(Gpa at, T value) {
        std::memcpy(base + at.value, &value, sizeof value);
    }
    template <class T>
    Result<T> read_value(Gpa at) {
        return load<T>(base + at.value);
    }
};

// The same store without its mapping: what an anonymous guest's store looks like, at the price of pread.
class CallsOnly final : public RamStore {
public:
    explicit CallsOnly(std::shared_ptr<RamStore> inner) : inner_(std::move(inner)) {}
    [[nodiscard]] std::uint64_t size() const override { return inner_->size(); }
    [[nodiscard]] AccessMethod method() const override { return AccessMethod::copied; }
    Result<void> read(std::span<StoreReadOp> ops) override { return inner_->read(ops); }

private:
    std::shared_ptr<RamStore> inner_;
};

struct BenchGuest {
    BenchGuest() {
        const int fd = memfd_create("bench", MFD_CLOEXEC);
        if (fd < 0 || ftruncate(fd, kSize) != 0) throw std::runtime_error("memfd");
        auto* at = static_cast<std::byte*>(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
        if (at == MAP_FAILED) throw std::runtime_error("mmap");
        std::memset(at, 0x5a, kSize);
        std::memset(at, 0, kData);
        Writer writer{at};
        testing::PageTableBuilder tables(writer, kMode, Gpa{0x1000});
        tables.map_range(Gva{kDirectMap}, Gpa{0}, kSize, 2u << 20);
        frames.resize(kSmallCount);
        std::iota(frames.begin(), frames.end(), kData / kPageSize);
        std::shuffle(frames.begin(), frames.end(), std::mt19937_64(1));
        for (std::uint64_t i = 0; i < kSmallCount; ++i)
            tables.map(Gva{kSmallPages + i * kPageSize}, Gpa{frames[i] * kPageSize});
        root = tables.root();
        munmap(at, kSize);
        bare = static_cast<std::byte*>(mmap(nullptr, kSize, PROT_READ, MAP_SHARED, fd, 0));
        std::uint64_t touched = 0;
        for (std::uint64_t i = 0; i < kSize; i += kPageSize) touched += load<std::uint8_t>(bare + i);
        benchmark::DoNotOptimize(touched);
        std::vector<FilePiece> pieces;
        pieces.push_back({UniqueFd(fd), 0, kSize});
        store = MappedStore::make(std::move(pieces), AccessMethod::mapped).value();
        memory = std::make_unique<GuestMemory>(store, MemoryLayout::with_hole(kSize, kSize, "all"));
        std::vector<std::byte> all(kSize / kPageSize * 8);
        (void)memory->read_strided(Gpa{0}, kPageSize, 8, kSize / kPageSize, all);  // every page is known and mapped
    }
    std::vector<std::uint64_t> frames;
    Gpa root;
    std::byte* bare = nullptr;
    std::shared_ptr<MappedStore> store;
    std::unique_ptr<GuestMemory> memory;
};

BenchGuest& guest() {
    static BenchGuest made;
    return made;
}

constexpr std::size_t kAddresses = 1u << 16;

// Random 8-byte-aligned offsets below `size`.
std::vector<std::uint64_t> offsets(std::uint64_t size, unsigned seed = 7) {
    std::mt19937_64 random(seed);
    std::vector<std::uint64_t> made(kAddresses);
    for (std::uint64_t& at : made) at = random() % size & ~7ull;
    return made;
}

void bare_same_page(benchmark::State& state) {
    const std::byte* page = guest().bare + kData;
    const auto at = offsets(kPageSize);
    std::uint64_t sum = 0;
    for (std::size_t i = 0; auto _ : state) sum += load<std::uint64_t>(page + at[i++ % kAddresses]);
    benchmark::DoNotOptimize(sum);
}
BENCHMARK(bare_same_page);

void virtual_same_page(benchmark::State& state) {
    const AddressSpace space(*guest().memory, kMode, guest().root);
    const auto at = offsets(kPageSize);
    std::uint64_t sum = 0;
    for (std::size_t i = 0; auto _ : state)
        sum += space.read_value<std::uint64_t>(Gva{kSmallPages + at[i++ % kAddresses]}).value_or(0u);
    benchmark::DoNotOptimize(sum);
}
BENCHMARK(virtual_same_page);

void bare_random(benchmark::State& state) {
    const auto at = offsets(kSmallCount * kPageSize);
    std::uint64_t sum = 0;
    for (std::size_t i = 0; auto _ : state) {
        const std::uint64_t offset = at[i++ % kAddresses];
        sum += load<std::uint64_t>(guest().bare + guest().frames[offset / kPageSize] * kPageSize + offset % kPageSize);
    }
    benchmark::DoNotOptimize(sum);
}
BENCHMARK(bare_random);

void virtual_random(benchmark::State& state, std::uint64_t base, std::uint64_t size) {
    const AddressSpace space(*guest().memory, kMode, guest().root);
    const auto at = offsets(size);
    std::uint64_t sum = 0;
    for (std::size_t i = 0; auto _ : state)
        sum += space.read_value<std::uint64_t>(Gva{base + at[i++ % kAddresses]}).value_or(0u);
    benchmark::DoNotOptimize(sum);
}
BENCHMARK_CAPTURE(virtual_random, small_pages, kSmallPages, kSmallCount* kPageSize);
BENCHMARK_CAPTURE(virtual_random, direct_map, kDirectMap, kSize);

void physical_random(benchmark::State& state) {
    const auto at = offsets(kSize);
    std::uint64_t sum = 0;
    for (std::size_t i = 0; auto _ : state)
        sum += guest().memory->read_value<std::uint64_t>(Gpa{at[i++ % kAddresses]}).value_or(0u);
    benchmark::DoNotOptimize(sum);
}
BENCHMARK(physical_random);

void virtual_random_by_calls(benchmark::State& state, bool cached) {
    GuestMemory memory(std::make_shared<CallsOnly>(guest().store), MemoryLayout::with_hole(kSize, kSize, "all"));
    PageCache cache(memory);
    const AddressSpace space(cached ? static_cast<PhysicalMemory&>(cache) : memory, kMode, guest().root);
    const auto at = offsets(256 * kPageSize);  // 1 MiB: what fits the cache
    std::uint64_t sum = 0;
    for (std::size_t i = 0; auto _ : state)
        sum += space.read_value<std::uint64_t>(Gva{kSmallPages + at[i++ % kAddresses]}).value_or(0u);
    benchmark::DoNotOptimize(sum);
}
BENCHMARK_CAPTURE(virtual_random_by_calls, uncached, false);
BENCHMARK_CAPTURE(virtual_random_by_calls, page_cache, true);

void bulk_memcpy(benchmark::State& state) {
    const auto size = static_cast<std::size_t>(state.range(0));
    std::vector<std::byte> out(size);
    std::uint64_t at = kData;
    for (auto _ : state) {
        std::memcpy(out.data(), guest().bare + at, size);
        benchmark::ClobberMemory();
        at = at + 2 * size <= kSize ? at + size : kData;
    }
    state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(bulk_memcpy)->Arg(1 << 20)->Arg(16 << 20);

void bulk_physical(benchmark::State& state) {
    const auto size = static_cast<std::size_t>(state.range(0));
    std::vector<std::byte> out(size);
    std::uint64_t at = kData;
    for (auto _ : state) {
        if (!guest().memory->read(Gpa{at}, out)) state.SkipWithError("read");
        benchmark::ClobberMemory();
        at = at + 2 * size <= kSize ? at + size : kData;
    }
    state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(bulk_physical)->Arg(1 << 20)->Arg(16 << 20);

void bulk_virtual(benchmark::State& state, std::uint64_t base, std::uint64_t size) {
    const AddressSpace space(*guest().memory, kMode, guest().root);
    std::vector<std::byte> out(1u << 20);
    std::uint64_t at = 0;
    for (auto _ : state) {
        if (!space.read(Gva{base + at}, out)) state.SkipWithError("read");
        benchmark::ClobberMemory();
        at = at + 2 * out.size() <= size ? at + out.size() : 0;
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(out.size()));
}
BENCHMARK_CAPTURE(bulk_virtual, small_pages, kSmallPages, kSmallCount* kPageSize);
BENCHMARK_CAPTURE(bulk_virtual, direct_map, kDirectMap + kData, kSize - kData);

void strided_bare(benchmark::State& state) {
    std::vector<std::byte> out(kSize / kPageSize * 8);
    for (auto _ : state) {
        for (std::uint64_t i = 0; i < kSize / kPageSize; ++i)
            std::memcpy(out.data() + 8 * i, guest().bare + i * kPageSize, 8);
        benchmark::ClobberMemory();
    }
}
BENCHMARK(strided_bare)->Unit(benchmark::kMillisecond);

void strided(benchmark::State& state) {
    std::vector<std::byte> out(kSize / kPageSize * 8);
    for (auto _ : state) {
        if (!guest().memory->read_strided(Gpa{0}, kPageSize, 8, kSize / kPageSize, out)) state.SkipWithError("read");
        benchmark::ClobberMemory();
    }
}
BENCHMARK(strided)->Unit(benchmark::kMillisecond);

void enumerate_mappings(benchmark::State& state) {
    for (auto _ : state) {
        std::uint64_t bytes = 0;
        for_each_mapping(*guest().memory, kMode, guest().root, Gva{1ull << 63}, Gva{~0ull}, {},
                         [&](const MappedRun& run) {
                             bytes += run.size;
                             return true;
                         });
        benchmark::DoNotOptimize(bytes);
    }
    state.counters["entries"] = static_cast<double>(kSmallCount + kSize / (2u << 20));
}
BENCHMARK(enumerate_mappings)->Unit(benchmark::kMillisecond);

void new_address_space(benchmark::State& state) {
    for (auto _ : state) {
        const AddressSpace space(*guest().memory, kMode, guest().root);
        benchmark::DoNotOptimize(space.read_value<std::uint64_t>(Gva{kSmallPages}));
    }
}
BENCHMARK(new_address_space);

}  // namespace
