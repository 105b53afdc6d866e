// Reading a process that is stopped in a known state: a child with mappings of every kind.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include "sources/host/page_map.h"
#include "sources/host/process.h"
#include "sources/host/process_memory.h"
#include "sources/qemu/composite_store.h"
#include "sources/qemu/paged_store.h"
#include "vitrine/base/address.h"

namespace vitrine {
namespace {

constexpr std::size_t kPages = 1200;  // more than two chunks of 2 MiB
constexpr std::size_t kBytes = kPages * kPageSize;

// A child process that shares no page with its parent after `prepare` has run in it.
class Child {
public:
    explicit Child(const std::function<void()>& prepare) {
        int ready[2];
        EXPECT_EQ(::pipe(ready), 0);
        pid_ = ::fork();
        if (pid_ == 0) {
            prepare();
            EXPECT_EQ(::write(ready[1], "x", 1), 1);
            for (;;) ::pause();
        }
        char c = 0;
        EXPECT_EQ(::read(ready[0], &c, 1), 1);
        ::close(ready[0]);
        ::close(ready[1]);
        auto process = HostProcess::open(pid_);
        EXPECT_TRUE(process);
        process_ = std::make_shared<const HostProcess>(std::move(*process));
    }
    ~Child() { end(); }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    void end() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }
    [[nodiscard]] const std::shared_ptr<const HostProcess>& process() const { return process_; }

private:
    pid_t pid_ = -1;
    std::shared_ptr<const HostProcess> process_;
};

std::byte* map(std::size_t size, int flags, int fd = -1) {
    void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    EXPECT_NE(at, MAP_FAILED);
    ::madvise(at, size, MADV_NOHUGEPAGE);
    return static_cast<std::byte*>(at);
}

std::uint64_t address_of(const std::byte* p) { return reinterpret_cast<std::uintptr_t>(p); }

std::byte value_of(std::size_t page) { return static_cast<std::byte>(page % 251 + 1); }

// The pages that a test writes: runs, single pages, both ends.
bool is_written(std::size_t page) {
    return page == 0 || page == kPages - 1 || page % 7 == 3 || (page > 500 && page < 530);
}

void write_pages(std::byte* base) {
    for (std::size_t page = 0; page < kPages; ++page) {
        if (is_written(page)) std::memset(base + page * kPageSize, static_cast<int>(value_of(page)), kPageSize);
    }
}

void expect_contents(RamStore& store, std::byte background) {
    std::vector<std::byte> bytes(kBytes);
    StoreReadOp whole{0, bytes};
    ASSERT_TRUE(store.read({&whole, 1}));
    ASSERT_TRUE(whole.ok);
    for (std::size_t page = 0; page < kPages; ++page) {
        const std::byte expected = is_written(page) ? value_of(page) : background;
        for (const std::size_t at : {std::size_t{0}, std::size_t{2000}, kPageSize - 1}) {
            ASSERT_EQ(bytes[page * kPageSize + at], expected) << "page " << page;
        }
    }
    // The same in odd pieces, many in one call.
    std::vector<std::byte> pieces(kBytes, std::byte{0xee});
    std::vector<StoreReadOp> ops;
    for (std::size_t at = 0; at < kBytes;) {
        const std::size_t size = std::min<std::size_t>(kBytes - at, 1 + (at * 7919) % 9001);
        ops.push_back({at, std::span(pieces).subspan(at, size), false, Errc::fault});
        at += size;
    }
    ASSERT_TRUE(store.read(ops));
    for (const StoreReadOp& op : ops) ASSERT_TRUE(op.ok);
    EXPECT_EQ(pieces, bytes);
}

TEST(PagedStore, AnonymousMemoryReadsAsItIs) {
    std::byte* const base = map(kBytes, MAP_PRIVATE | MAP_ANONYMOUS);
    const Child child([&] { write_pages(base); });
    PagedStore store(child.process(), {address_of(base), kBytes, PagedStore::Absent::zeros, {}, 0});
    expect_contents(store, std::byte{0});
    const auto populated = store.populated({0, kBytes});
    std::size_t pages = 0;
    for (const StoreRange& r : populated) {
        for (std::uint64_t at = r.offset; at < r.offset + r.size; at += kPageSize) {
            ASSERT_TRUE(is_written(static_cast<std::size_t>(at / kPageSize))) << at / kPageSize;
            ++pages;
        }
    }
    std::size_t written = 0;
    for (std::size_t page = 0; page < kPages; ++page) written += is_written(page) ? 1u : 0u;
    EXPECT_EQ(pages, written);
    EXPECT_EQ(store.populated({4096 + 10, 100}).size(), 0u);
    EXPECT_EQ(store.populated({10, 100}), (std::vector<StoreRange>{{10, 100}}));
    ::munmap(base, kBytes);
}

TEST(PagedStore, PrivateFileShowsTheFileWhereNothingWasWritten) {
    const UniqueFd file(::memfd_create("private", MFD_CLOEXEC));
    ASSERT_EQ(::ftruncate(file.get(), kBytes), 0);
    const std::vector<std::byte> old(64 * kPageSize, std::byte{0x55});
    ASSERT_EQ(::pwrite(file.get(), old.data(), old.size(), 0), static_cast<ssize_t>(old.size()));
    struct stat before{};
    ::fstat(file.get(), &before);
    std::byte* const base = map(kBytes, MAP_PRIVATE, file.get());
    const Child child([&] { write_pages(base); });
    ::munmap(base, kBytes);
    PagedStore store(child.process(),
                     {address_of(base), kBytes, PagedStore::Absent::file, UniqueFd(::dup(file.get())), 0});
    std::vector<std::byte> bytes(kBytes);
    StoreReadOp whole{0, bytes};
    ASSERT_TRUE(store.read({&whole, 1}));
    ASSERT_TRUE(whole.ok);
    for (std::size_t page = 0; page < kPages; ++page) {
        const std::byte expected = is_written(page) ? value_of(page) : page < 64 ? std::byte{0x55} : std::byte{0};
        ASSERT_EQ(bytes[page * kPageSize], expected) << page;
    }
    struct stat after{};
    ::fstat(file.get(), &after);
    // Writing to a hole of a private mapping reads the file first, which is the child's doing; reading adds nothing to it.
    std::vector<std::byte> again(kBytes);
    StoreReadOp second{0, again};
    store.new_generation();
    ASSERT_TRUE(store.read({&second, 1}));
    struct stat last{};
    ::fstat(file.get(), &last);
    EXPECT_EQ(last.st_blocks, after.st_blocks);
    EXPECT_EQ(again, bytes);
}

TEST(PagedStore, SharedMemoryOutOfReachIsNotGuessed) {
    std::byte* const base = map(kBytes, MAP_SHARED | MAP_ANONYMOUS);
    const Child child([&] { write_pages(base); });
    PagedStore store(child.process(), {address_of(base), kBytes, PagedStore::Absent::fault, {}, 0});
    std::array<std::byte, 16> out;
    StoreReadOp written{3 * kPageSize, out};
    ASSERT_TRUE(store.read({&written, 1}));
    EXPECT_TRUE(written.ok);
    EXPECT_EQ(out[0], value_of(3));
    StoreReadOp absent{4 * kPageSize, out};
    ASSERT_TRUE(store.read({&absent, 1}));
    EXPECT_FALSE(absent.ok);
    EXPECT_EQ(absent.status, Errc::fault);
    StoreReadOp across{4 * kPageSize - 8, out};
    ASSERT_TRUE(store.read({&across, 1}));
    EXPECT_FALSE(across.ok);
    ::munmap(base, kBytes);
}

TEST(PagedStore, OutOfRangeAndEmptyOps) {
    std::byte* const base = map(kBytes, MAP_PRIVATE | MAP_ANONYMOUS);
    const Child child([&] { write_pages(base); });
    PagedStore store(child.process(), {address_of(base), kBytes, PagedStore::Absent::zeros, {}, 0});
    std::array<std::byte, 16> out;
    std::array<StoreReadOp, 4> ops{StoreReadOp{kBytes - 8, out}, StoreReadOp{~std::uint64_t{0}, out},
                                   StoreReadOp{kBytes, std::span<std::byte>()}, StoreReadOp{kBytes - 16, out}};
    ASSERT_TRUE(store.read(ops));
    EXPECT_FALSE(ops[0].ok);
    EXPECT_EQ(ops[0].status, Errc::out_of_range);
    EXPECT_FALSE(ops[1].ok);
    EXPECT_TRUE(ops[2].ok);
    EXPECT_TRUE(ops[3].ok);
    ::munmap(base, kBytes);
}

TEST(PagedStore, NewlyWrittenPagesShowInTheNextGeneration) {
    auto* const go = static_cast<volatile int*>(
        ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    std::byte* const base = map(kBytes, MAP_PRIVATE | MAP_ANONYMOUS);
    int ready[2];
    ASSERT_EQ(::pipe(ready), 0);
    const pid_t pid = ::fork();
    if (pid == 0) {
        while (*go == 0) ::usleep(1000);
        base[5 * kPageSize] = std::byte{9};
        *go = 2;
        for (;;) ::pause();
    }
    auto process = HostProcess::open(pid);
    ASSERT_TRUE(process);
    PagedStore store(std::make_shared<const HostProcess>(std::move(*process)),
                     {address_of(base), kBytes, PagedStore::Absent::zeros, {}, 0});
    std::byte value{};
    StoreReadOp op{5 * kPageSize, {&value, 1}};
    ASSERT_TRUE(store.read({&op, 1}));
    EXPECT_EQ(value, std::byte{0});
    *go = 1;
    while (*go != 2) ::usleep(1000);
    store.new_generation();
    ASSERT_TRUE(store.read({&op, 1}));
    EXPECT_EQ(value, std::byte{9});
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    ::close(ready[0]);
    ::close(ready[1]);
    ::munmap(base, kBytes);
}

TEST(PagedStore, SeveralThreadsAtATime) {
    std::byte* const base = map(kBytes, MAP_PRIVATE | MAP_ANONYMOUS);
    const Child child([&] { write_pages(base); });
    PagedStore store(child.process(), {address_of(base), kBytes, PagedStore::Absent::zeros, {}, 0});
    std::array<bool, 4> right{};
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < right.size(); ++t) {
        threads.emplace_back([&, t] {
            bool ok = true;
            for (std::size_t i = 0; i < 3 * kPages; ++i) {
                const std::size_t page = (i * (2 * t + 1)) % kPages;
                std::byte value{};
                StoreReadOp op{page * kPageSize + t, {&value, 1}};
                ok = ok && store.read({&op, 1}) && op.ok && value == (is_written(page) ? value_of(page) : std::byte{0});
                if (i % 512 == 0) ok = ok && !store.populated({0, kBytes}).empty();
            }
            right[t] = ok;
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (const bool ok : right) EXPECT_TRUE(ok);
    ::munmap(base, kBytes);
}

TEST(PagedStore, EndedProcessIsStale) {
    std::byte* const base = map(kBytes, MAP_PRIVATE | MAP_ANONYMOUS);
    Child child([&] { write_pages(base); });
    PagedStore store(child.process(), {address_of(base), kBytes, PagedStore::Absent::zeros, {}, 0});
    std::array<std::byte, 16> out;
    std::array<StoreReadOp, 2> ops{StoreReadOp{0, out}, StoreReadOp{4 * kPageSize, out}};
    ASSERT_TRUE(store.read(ops));
    child.end();
    for (const std::size_t count : {std::size_t{1}, std::size_t{2}}) {
        const auto read = store.read(std::span(ops).first(count));
        ASSERT_FALSE(read);
        EXPECT_EQ(read.error().code, Errc::stale);
    }
    store.new_generation();
    EXPECT_FALSE(store.read(std::span(ops).last(1)));
    ::munmap(base, kBytes);
}

TEST(ProcessMemory, OneHoleFailsOneOp) {
    std::byte* const base = map(kBytes, MAP_PRIVATE | MAP_ANONYMOUS);
    const Child child([&] {
        write_pages(base);
        ::munmap(base + 10 * kPageSize, kPageSize);
    });
    ProcessMemory memory(*child.process());
    // More pieces than one call takes, neighbours and not, some over the hole.
    std::vector<std::byte> out(kBytes);
    std::vector<ProcessReadOp> ops;
    for (std::size_t page = 0; page < kPages; ++page) {
        ops.push_back(
            {address_of(base) + page * kPageSize, std::span(out).subspan(page * kPageSize, kPageSize), false});
    }
    ASSERT_TRUE(memory.read(ops));
    for (std::size_t page = 0; page < kPages; ++page) {
        ASSERT_EQ(ops[page].ok, page != 10) << page;
        if (page != 10 && is_written(page)) {
            ASSERT_EQ(out[page * kPageSize], value_of(page));
        }
    }
    ProcessReadOp across{address_of(base) + 9 * kPageSize + 100, std::span(out).first(kPageSize), false};
    ASSERT_TRUE(memory.read({&across, 1}));
    EXPECT_FALSE(across.ok);
    ::munmap(base, kBytes);
}

TEST(PageMap, CountsPagesAsTheyAre) {
    std::byte* const base = map(kBytes, MAP_PRIVATE | MAP_ANONYMOUS);
    const Child child([&] { write_pages(base); });
    PageMap pages(*child.process(), PageMap::Counting::own_pages);
    std::vector<std::uint8_t> flags(kPages);
    ASSERT_TRUE(pages.look_up(address_of(base), flags));
    for (std::size_t page = 0; page < kPages; ++page) ASSERT_EQ(flags[page] != 0, is_written(page)) << page;
    const auto ranges = pages.ranges(address_of(base), kBytes);
    ASSERT_TRUE(ranges);
    std::uint64_t total = 0;
    for (const HostRange& r : *ranges) total += r.size / kPageSize;
    EXPECT_EQ(total, static_cast<std::uint64_t>(std::accumulate(flags.begin(), flags.end(), 0)));
    ::munmap(base, kBytes);
}

// A store of known bytes, for the composite alone.
class Bytes final : public RamStore {
public:
    Bytes(std::size_t size, std::byte first) : bytes_(size) {
        for (std::size_t i = 0; i < size; ++i) bytes_[i] = static_cast<std::byte>(static_cast<std::size_t>(first) + i);
    }
    [[nodiscard]] std::uint64_t size() const override { return bytes_.size(); }
    [[nodiscard]] AccessMethod method() const override { return AccessMethod::synthetic; }
    Result<void> read(std::span<StoreReadOp> ops) override {
        for (StoreReadOp& op : ops) {
            op.ok = op.offset + op.out.size() <= bytes_.size() &&
                    !(op.offset <= bad_ && bad_ < op.offset + op.out.size());
            if (op.ok) std::memcpy(op.out.data(), bytes_.data() + op.offset, op.out.size());
            else op.status = Errc::fault;
        }
        return {};
    }
    std::uint64_t bad_ = ~std::uint64_t{0};

private:
    std::vector<std::byte> bytes_;
};

TEST(CompositeStore, ReadsAcrossItsParts) {
    auto second = std::make_shared<Bytes>(50, std::byte{100});
    CompositeStore store(
        {std::make_shared<Bytes>(100, std::byte{0}), second, std::make_shared<Bytes>(10, std::byte{150})});
    ASSERT_EQ(store.size(), 160u);
    std::array<std::byte, 160> out{};
    StoreReadOp whole{0, out};
    ASSERT_TRUE(store.read({&whole, 1}));
    ASSERT_TRUE(whole.ok);
    for (std::size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], static_cast<std::byte>(i));
    second->bad_ = 7;
    std::array<StoreReadOp, 4> ops{StoreReadOp{90, std::span(out).first(30)}, StoreReadOp{108, std::span(out).first(2)},
                                   StoreReadOp{150, std::span(out).first(11)},
                                   StoreReadOp{160, std::span(out).first(0)}};
    ASSERT_TRUE(store.read(ops));
    EXPECT_FALSE(ops[0].ok);
    EXPECT_EQ(ops[0].status, Errc::fault);
    EXPECT_TRUE(ops[1].ok);
    EXPECT_EQ(ops[2].status, Errc::out_of_range);
    EXPECT_TRUE(ops[3].ok);
    EXPECT_EQ(store.populated({95, 60}), (std::vector<StoreRange>{{95, 60}}));
    EXPECT_EQ(store.populated({400, 60}), std::vector<StoreRange>{});
}

}  // namespace
}  // namespace vitrine
