// MappedStore: right bytes by every route, no host memory allocated by looking, and no crash when files change under it.
#include "sources/file/mapped_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <random>
#include <stdexcept>
#include <thread>

#include "support/temp_file.h"
#include "vitrine/memory/address_space.h"

namespace vitrine {
namespace {

using testing::TempFile;

constexpr std::uint64_t kMiB = 1u << 20;

std::vector<std::byte> pattern(std::size_t size, unsigned seed) {
    std::mt19937_64 random(seed);
    std::vector<std::byte> bytes(size);
    for (std::byte& b : bytes) b = static_cast<std::byte>(random() | 1);
    return bytes;
}

// A file of `size` bytes, on tmpfs (as a guest's shared memory) or on a disk, with data where `parts` say.
class Backing {
public:
    enum class Kind { memfd, disk };
    Backing(Kind kind, std::uint64_t size)
        : content(size), disk_(kind == Kind::disk ? std::make_unique<TempFile>(size) : nullptr) {
        fd_ = disk_ ? disk_->fd() : memfd_create("vitrine-test", MFD_CLOEXEC);
        if (!disk_ && ftruncate(fd_, static_cast<off_t>(size)) != 0) throw std::runtime_error("memfd");
    }
    Backing(const Backing&) = delete;
    Backing& operator=(const Backing&) = delete;
    ~Backing() {
        if (!disk_) close(fd_);
    }
    void write(std::uint64_t at, std::span<const std::byte> bytes) {
        ASSERT_EQ(pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(at)), static_cast<ssize_t>(bytes.size()));
        std::copy(bytes.begin(), bytes.end(), content.begin() + static_cast<std::ptrdiff_t>(at));
    }
    void punch(std::uint64_t at, std::uint64_t size) {
        ASSERT_EQ(fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(at),
                            static_cast<off_t>(size)),
                  0);
        std::fill_n(content.begin() + static_cast<std::ptrdiff_t>(at), size, std::byte{0});
    }
    [[nodiscard]] UniqueFd duplicate() const { return UniqueFd(fcntl(fd_, F_DUPFD_CLOEXEC, 0)); }
    [[nodiscard]] std::uint64_t blocks() const {
        struct stat status{};
        fstat(fd_, &status);
        return static_cast<std::uint64_t>(status.st_blocks);
    }
    [[nodiscard]] int fd() const { return fd_; }
    [[nodiscard]] std::shared_ptr<MappedStore> store() const {
        std::vector<FilePiece> pieces;
        pieces.push_back({duplicate(), 0, content.size()});
        return MappedStore::make(std::move(pieces), AccessMethod::mapped).value();
    }
    std::vector<std::byte> content;

private:
    std::unique_ptr<TempFile> disk_;
    int fd_ = -1;
};

Result<void> read(RamStore& store, std::uint64_t offset, std::span<std::byte> out) {
    StoreReadOp op{offset, out};
    VITRINE_CHECK(store.read(std::span(&op, 1)));
    if (!op.ok) return Error::make(op.status, Origin::source, "");
    return {};
}

class FileStore : public ::testing::TestWithParam<Backing::Kind> {};

void fill_sparsely(Backing& backing) {
    std::mt19937_64 random(4);
    for (std::uint64_t at = 0; at + 64 * kPageSize < backing.content.size(); at += (1 + random() % 200) * kPageSize) {
        backing.write(at, pattern((1 + random() % 40) * kPageSize, static_cast<unsigned>(at)));
    }
}

TEST_P(FileStore, EveryRouteGivesTheSameBytes) {
    Backing backing(GetParam(), 16 * kMiB);
    fill_sparsely(backing);
    for (const bool after_populated : {false, true}) {
        auto store = backing.store();
        if (after_populated) {
            ASSERT_FALSE(store->populated({0, store->size()}).empty());
        }
        GuestMemory memory(store, MemoryLayout::with_hole(store->size(), store->size(), "all"));
        std::mt19937_64 random(5);
        for (int i = 0; i < 4000; ++i) {
            const std::uint64_t at = random() % store->size();
            std::vector<std::byte> out(
                std::min<std::uint64_t>(store->size() - at, random() % 10 == 0 ? random() % kMiB : random() % 300));
            ASSERT_TRUE(i % 2 == 0 ? read(*store, at, out) : memory.read(Gpa{at}, out));
            ASSERT_TRUE(std::equal(out.begin(), out.end(), backing.content.begin() + static_cast<std::ptrdiff_t>(at)))
                << at;
        }
        for (const std::uint32_t width : {1u, 8u, 24u}) {
            for (const std::uint64_t stride : {kPageSize, std::uint64_t{520}, 3 * kPageSize + 8}) {
                const std::uint64_t start = random() % 5000;
                const auto count = static_cast<std::size_t>((store->size() - start - width) / stride + 1);
                std::vector<std::byte> out(count * width, std::byte{0xee});
                ASSERT_TRUE(memory.read_strided(Gpa{start}, stride, width, count, out));
                for (std::size_t k = 0; k < count; ++k) {
                    ASSERT_EQ(std::memcmp(out.data() + k * width, backing.content.data() + start + k * stride, width),
                              0)
                        << k;
                }
            }
        }
    }
}

// Each byte is the one before it, and the first is zero: a loop of the C library's, for builds without optimisation.
bool is_zero(std::span<const std::byte> bytes) {
    return bytes.empty() ||
           (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

TEST_P(FileStore, PopulatedCoversAllThatIsNotZero) {
    Backing backing(GetParam(), 16 * kMiB);
    fill_sparsely(backing);
    auto store = backing.store();
    std::mt19937_64 random(6);
    for (int i = 0; i < 300; ++i) {
        const std::uint64_t from = random() % store->size();
        const std::uint64_t size = random() % (store->size() - from) + 1;
        std::uint64_t next = from;
        for (const StoreRange& part : store->populated({from, size})) {
            ASSERT_GE(part.offset, next);
            ASSERT_GT(part.size, 0u);
            ASSERT_LE(part.offset + part.size, from + size);
            ASSERT_TRUE(is_zero(std::span(backing.content).subspan(next, part.offset - next)));
            next = part.offset + part.size;
        }
        ASSERT_TRUE(is_zero(std::span(backing.content).subspan(next, from + size - next)));
    }
    EXPECT_TRUE(store->populated({store->size(), 10}).empty());
}

TEST_P(FileStore, LookingAllocatesNothing) {
    Backing backing(GetParam(), 64 * kMiB);
    backing.write(3 * kMiB, pattern(5 * kPageSize, 1));
    backing.write(40 * kMiB + kPageSize, pattern(kPageSize, 2));
    const std::uint64_t before = backing.blocks();
    auto store = backing.store();
    GuestMemory memory(store, MemoryLayout::with_hole(store->size(), 32 * kMiB, "hole"));
    const AddressSpace space(memory, PagingMode::none, Gpa{0});
    std::vector<std::byte> out(kMiB);
    for (int round = 0; round < 2; ++round) {
        for (std::uint64_t at = 0; at < 64 * kMiB; at += kPageSize)
            ASSERT_TRUE(read(*store, at, std::span(out).first(8)));
        for (std::uint64_t at = 0; at < 64 * kMiB; at += kMiB) ASSERT_TRUE(read(*store, at, out));
        for (std::uint64_t at = 0; at < 32 * kMiB; at += kPageSize) {
            ASSERT_TRUE(memory.read_value<std::uint64_t>(Gpa{at}));
            ASSERT_TRUE(memory.read_value<std::uint64_t>(Gpa{at + (1ull << 32)}));
            ASSERT_TRUE(space.read_value<std::uint64_t>(Gva{at + 16}));
        }
        for (std::uint64_t at = 0; at < 32 * kMiB; at += kMiB) ASSERT_TRUE(space.read(Gva{at}, out));
        ASSERT_TRUE(memory.read_strided(Gpa{0}, kPageSize, 64, 32 * kMiB / kPageSize, out));
        (void)memory.populated({Gpa{0}, 1ull << 33});
        store->new_generation();
    }
    EXPECT_EQ(backing.blocks(), before);
}

// A balloon gives pages back: they read as zeros, and looking does not take them again.
TEST_P(FileStore, PagesGivenBackAreZerosAfterANewGeneration) {
    Backing backing(GetParam(), 8 * kMiB);
    backing.write(0, pattern(8 * kMiB, 3));
    auto store = backing.store();
    GuestMemory memory(store, MemoryLayout::with_hole(store->size(), store->size(), "all"));
    std::vector<std::byte> out(8 * kMiB);
    ASSERT_TRUE(memory.read(Gpa{0}, out));
    EXPECT_EQ(out, backing.content);
    backing.punch(2 * kMiB, 4 * kMiB);
    const std::uint64_t before = backing.blocks();
    memory.new_generation();
    ASSERT_TRUE(memory.read(Gpa{0}, out));
    EXPECT_EQ(out, backing.content);
    EXPECT_EQ(backing.blocks(), before);
    // And pages that the guest has touched since are seen, also without a new generation.
    backing.write(3 * kMiB, pattern(kPageSize, 4));
    ASSERT_TRUE(memory.read(Gpa{0}, out));
    EXPECT_EQ(out, backing.content);
    EXPECT_EQ(memory.populated({Gpa{0}, 8 * kMiB}).size(), 3u);
}

// As many pages taken as given back, or more: the number of blocks does not tell of the holes.
TEST_P(FileStore, HolesAreSeenThoughAsMuchWasTakenElsewhere) {
    for (const std::uint64_t taken : {kMiB, 2 * kMiB}) {
        Backing backing(GetParam(), 8 * kMiB);
        backing.write(0, pattern(4 * kMiB, 3));
        auto store = backing.store();
        GuestMemory memory(store, MemoryLayout::with_hole(store->size(), store->size(), "all"));
        std::vector<std::byte> out(8 * kMiB);
        for (int round = 0; round < 3; ++round) {
            ASSERT_TRUE(memory.read(Gpa{0}, out));
            backing.punch(0, kMiB);
            backing.write(4 * kMiB, pattern(taken, 4));
            memory.new_generation();
            const std::uint64_t before = backing.blocks();
            for (std::uint64_t at = 0; at < kMiB; at += kPageSize)
                ASSERT_EQ(memory.read_value<std::uint64_t>(Gpa{at}).value(), 0u);
            ASSERT_TRUE(memory.read(Gpa{0}, out));
            EXPECT_EQ(out, backing.content);
            EXPECT_EQ(backing.blocks(), before) << "looking took memory";
            backing.punch(4 * kMiB, taken);
            backing.write(0, pattern(kMiB, 5));
        }
    }
}

// While a guest neither takes nor gives back, nothing is asked anew.
TEST(FileStoreAtRest, WhatIsKnownStaysKnown) {
    Backing backing(Backing::Kind::memfd, kMiB);
    backing.write(0, pattern(kMiB, 3));
    std::this_thread::sleep_for(std::chrono::milliseconds(80));  // the file is no longer fresh
    auto store = backing.store();
    std::vector<std::byte> out(kMiB);
    ASSERT_TRUE(read(*store, 0, out));
    store->new_generation();
    EXPECT_EQ(store->mapping().page_present[0], ~std::uint64_t{0});
}

// The file loses its end under a reader: errors, not a SIGBUS; what is left stays readable.
TEST_P(FileStore, TruncationIsAnErrorNotACrash) {
    Backing backing(GetParam(), 8 * kMiB);
    backing.write(0, pattern(8 * kMiB, 5));
    auto store = backing.store();
    GuestMemory memory(store, MemoryLayout::with_hole(store->size(), store->size(), "all"));
    const AddressSpace space(memory, PagingMode::none, Gpa{0});
    std::vector<std::byte> out(kMiB);
    ASSERT_TRUE(memory.read_strided(Gpa{0}, kPageSize, 8, 2048, out));  // all bits are set
    ASSERT_TRUE(space.read_value<std::uint64_t>(Gva{6 * kMiB}));
    EXPECT_TRUE(store->check_files());
    ASSERT_EQ(ftruncate(backing.fd(), 4 * kMiB), 0);
    EXPECT_FALSE(store->check_files());
    for (int round = 0; round < 2; ++round) {
        EXPECT_EQ(memory.read(Gpa{6 * kMiB}, out).error().code, Errc::stale);
        EXPECT_EQ(space.read_value<std::uint64_t>(Gva{6 * kMiB}).error().code, Errc::stale);
        EXPECT_EQ(space.read(Gva{3 * kMiB + kMiB / 2}, out).error().code, Errc::stale);
        ASSERT_TRUE(memory.read(Gpa{kMiB}, out));
        EXPECT_TRUE(std::equal(out.begin(), out.end(), backing.content.begin() + kMiB));
        std::vector<std::byte> strided(8 * 2048);
        ASSERT_TRUE(memory.read_strided(Gpa{0}, kPageSize, 8, 2048, strided));
        EXPECT_EQ(std::memcmp(strided.data() + 8 * 100, backing.content.data() + 100 * kPageSize, 8), 0);
        memory.new_generation();
    }
}

TEST_P(FileStore, ATruncatedPageIsNotTakenForZeros) {
    Backing backing(GetParam(), kMiB);
    backing.write(0, pattern(kMiB, 6));
    auto store = backing.store();
    ASSERT_EQ(ftruncate(backing.fd(), static_cast<off_t>(kMiB - 100)), 0);
    store->new_generation();
    std::vector<std::byte> out(50);
    EXPECT_EQ(read(*store, kMiB - 60, out).error().code, Errc::stale);
    EXPECT_TRUE(read(*store, kMiB - 160, out));
}

TEST_P(FileStore, ReadersInSeveralThreadsWhileTheFileShrinks) {
    Backing backing(GetParam(), 32 * kMiB);
    backing.write(0, pattern(32 * kMiB, 7));
    auto store = backing.store();
    std::atomic<bool> stop{false};
    std::atomic<unsigned> wrong{0}, failed{0}, good{0};
    std::vector<std::thread> readers;
    for (unsigned t = 0; t < 4; ++t) {
        readers.emplace_back([&, t] {
            std::mt19937_64 random(t);
            std::vector<std::byte> out(20000);
            while (!stop) {
                const std::uint64_t at = random() % (32 * kMiB - out.size());
                if (!read(*store, at, out)) ++failed;
                else if (std::equal(out.begin(), out.end(), backing.content.begin() + static_cast<std::ptrdiff_t>(at)))
                    ++good;
                // A copy that ends at the new end of the file may have zeros of the page that was cut: no more than that.
                else if (at + out.size() < 16 * kMiB) ++wrong;
            }
        });
    }
    // Not for a time alone: on a loaded machine, and slowed down by a sanitizer, no reader may get its turn in so short a while.
    const auto wait = [](std::chrono::milliseconds least, const std::atomic<unsigned>& count) {
        std::this_thread::sleep_for(least);
        for (int i = 0; i < 60'000 && count == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    };
    wait(std::chrono::milliseconds(30), good);
    const int cut = ftruncate(backing.fd(), 16 * kMiB);
    wait(std::chrono::milliseconds(60), failed);
    stop = true;
    for (std::thread& reader : readers) reader.join();
    EXPECT_EQ(cut, 0);
    EXPECT_EQ(wrong, 0u);
    EXPECT_GT(good, 0u);
    EXPECT_GT(failed, 0u);
}

TEST_P(FileStore, SeveralPiecesAndZeros) {
    Backing first(GetParam(), kMiB), second(GetParam(), 2 * kMiB);
    first.write(0, pattern(kMiB, 8));
    second.write(0, pattern(2 * kMiB, 9));
    std::vector<FilePiece> pieces;
    pieces.push_back({second.duplicate(), kMiB, kMiB});
    pieces.push_back({UniqueFd(), 0, kMiB});
    pieces.push_back({first.duplicate(), 0x10000, 0x20123});
    auto store = MappedStore::make(std::move(pieces), AccessMethod::image).value();
    std::vector<std::byte> expected(second.content.begin() + kMiB, second.content.end());
    expected.resize(2 * kMiB);
    expected.insert(expected.end(), first.content.begin() + 0x10000, first.content.begin() + 0x30123);
    ASSERT_EQ(store->size(), expected.size());
    std::vector<std::byte> out(expected.size());
    ASSERT_TRUE(read(*store, 0, out));
    EXPECT_EQ(out, expected);
    std::mt19937_64 random(10);
    for (int i = 0; i < 1000; ++i) {
        const std::uint64_t at = random() % expected.size();
        std::vector<std::byte> part(std::min<std::uint64_t>(expected.size() - at, random() % 10000));
        ASSERT_TRUE(read(*store, at, part));
        ASSERT_TRUE(std::equal(part.begin(), part.end(), expected.begin() + static_cast<std::ptrdiff_t>(at)));
    }
    EXPECT_EQ(store->populated({0, store->size()}), (std::vector<StoreRange>{{0, kMiB}, {2 * kMiB, 0x20123}}));
    EXPECT_EQ(read(*store, store->size() - 4, std::span(out).first(5)).error().code, Errc::out_of_range);
    EXPECT_EQ(read(*store, ~0ull, std::span(out).first(5)).error().code, Errc::out_of_range);
    EXPECT_TRUE(read(*store, store->size(), {}));
}

TEST_P(FileStore, RefusesPiecesThatCannotBe) {
    Backing backing(GetParam(), kMiB);
    const auto make = [&](std::uint64_t offset, std::uint64_t size) {
        std::vector<FilePiece> pieces;
        pieces.push_back({backing.duplicate(), offset, size});
        return MappedStore::make(std::move(pieces), AccessMethod::image);
    };
    EXPECT_EQ(make(0, 0).error().code, Errc::usage);
    EXPECT_EQ(make(100, kPageSize).error().code, Errc::usage);
    EXPECT_EQ(make(0, kMiB + 1).error().code, Errc::stale);
    EXPECT_EQ(make(~0ull - 0xfff, 0x2000).error().code, Errc::usage);
    EXPECT_EQ(MappedStore::make({}, AccessMethod::image).error().code, Errc::usage);
    EXPECT_TRUE(make(kPageSize, kMiB - kPageSize));
}

INSTANTIATE_TEST_SUITE_P(Files, FileStore, ::testing::Values(Backing::Kind::memfd, Backing::Kind::disk),
                         [](const auto& suite) { return suite.param == Backing::Kind::memfd ? "memfd" : "disk"; });

// Someone else's descriptor keeps its file position, which both processes share.
TEST(FileStoreDescriptor, FilePositionIsLeftAlone) {
    Backing backing(Backing::Kind::memfd, kMiB);
    backing.write(0x8000, pattern(kPageSize, 1));
    lseek(backing.fd(), 1234, SEEK_SET);
    auto store = backing.store();
    (void)store->populated({0, kMiB});
    EXPECT_EQ(lseek(backing.fd(), 0, SEEK_CUR), 1234);
}

// A SIGBUS that is not ours goes where it went before.
TEST(FaultGuardChain, OtherFaultsReachThePreviousHandler) {
    EXPECT_EXIT(
        {
            Backing guarded(Backing::Kind::memfd, kMiB);
            auto store = guarded.store();
            const int fd = memfd_create("other", MFD_CLOEXEC);
            if (ftruncate(fd, 4096) != 0) _exit(99);
            const auto* other = static_cast<const volatile char*>(mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0));
            if (ftruncate(fd, 0) != 0) _exit(99);
            signal(SIGSEGV, SIG_DFL);
            [[maybe_unused]] const char gone = *other;
            _exit(0);
        },
        // A sanitizer's handler, if that was there before, ends the process with a code of its own.
        [](int status) {
            return WIFSIGNALED(status) ? WTERMSIG(status) == SIGBUS
                                       : WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 99;
        },
        "");
}

// Lets the kernel make huge pages when they are asked for, where this process may say so.
class HugePagesOnDemand {
public:
    HugePagesOnDemand() {
        std::ifstream(kControl) >> before_;
        if (before_ < kEnough) std::ofstream(kControl) << kEnough;
    }
    HugePagesOnDemand(const HugePagesOnDemand&) = delete;
    HugePagesOnDemand& operator=(const HugePagesOnDemand&) = delete;
    ~HugePagesOnDemand() {
        if (before_ < kEnough) std::ofstream(kControl) << before_;
    }

private:
    static constexpr const char* kControl = "/proc/sys/vm/nr_overcommit_hugepages";
    static constexpr unsigned long kEnough = 8;
    unsigned long before_ = kEnough;
};

// hugetlbfs does not tell its holes; skipped where the machine has no huge pages to give.
TEST(FileStoreHuge, HolesOfHugePagesStayHoles) {
    const HugePagesOnDemand on_demand;
    // 2 MiB pages: MFD_HUGE_2MB of <linux/memfd.h>.
    const int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | (21u << 26));
    if (fd < 0 || ftruncate(fd, 8 * kMiB) != 0) GTEST_SKIP() << "no hugetlbfs";
    void* at = mmap(nullptr, 8 * kMiB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        close(fd);
        GTEST_SKIP() << "no huge pages (vm.nr_overcommit_hugepages)";
    }
    std::memset(static_cast<std::byte*>(at) + 4 * kMiB, 0x77, 100);  // one huge page of four
    munmap(at, 8 * kMiB);
    const auto blocks = [&] {
        struct stat status{};
        fstat(fd, &status);
        return status.st_blocks;
    };
    const auto before = blocks();
    std::vector<FilePiece> pieces;
    pieces.push_back({UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0)), 0, 8 * kMiB});
    auto store = MappedStore::make(std::move(pieces), AccessMethod::mapped).value();
    std::vector<std::byte> out(8 * kMiB);
    for (int round = 0; round < 2; ++round) {
        ASSERT_TRUE(read(*store, 0, out));
        for (std::uint64_t offset = 0; offset < 8 * kMiB; offset += kPageSize)
            ASSERT_TRUE(read(*store, offset, std::span(out).first(64)));
        ASSERT_TRUE(store->read_strided(0, kPageSize, 8, 2048, out));
        EXPECT_EQ(out[1024 * 8], std::byte{0x77});
        EXPECT_EQ(blocks(), before);
    }
    close(fd);
}

}  // namespace
}  // namespace vitrine
