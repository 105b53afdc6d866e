// MappedStore: opening, mapping, and what changes from one generation to the next.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "sources/file/mapped_store.h"

namespace vitrine {
namespace {

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) { return (value + unit - 1) / unit * unit; }

// Bytes that the file holds, also for a block device.
std::optional<std::uint64_t> length_of(int fd, const struct stat& status) {
    if (!S_ISBLK(status.st_mode)) return static_cast<std::uint64_t>(status.st_size);
    std::uint64_t bytes = 0;
    if (ioctl(fd, BLKGETSIZE64, &bytes) != 0) return std::nullopt;
    return bytes;
}

// A descriptor taken from another process shares that process's file position, and may be writable: open the file anew.
void make_own(UniqueFd& fd) {
    const int flags = fcntl(fd.get(), F_GETFL);
    if (flags >= 0 && (flags & O_ACCMODE) == O_RDONLY) return;
    const int own = open(fmt::format("/proc/self/fd/{}", fd.get()).c_str(), O_RDONLY | O_CLOEXEC);
    if (own >= 0) fd.reset(own);
}

Error io_error(std::string_view doing, int error) {
    return Error::with_text(error == EACCES || error == EPERM ? Errc::permission : Errc::io, Origin::source,
                            fmt::format("{}: {}", doing, std::strerror(error)));
}

// Do the bytes exist, in a file and in the store, in pieces that can follow one another?
bool can_be(const FilePiece& piece, bool is_last, std::uint64_t start) {
    std::uint64_t end = 0;
    if (piece.size == 0 || piece.file_offset % kPageSize != 0 || (!is_last && piece.size % kPageSize != 0))
        return false;
    if (__builtin_add_overflow(piece.file_offset, piece.size, &end) || end > INT64_MAX) return false;
    return !__builtin_add_overflow(start, piece.size, &end) && end <= INT64_MAX;
}

}  // namespace

Result<MappedStore::Piece> MappedStore::open_piece(FilePiece from, std::uint64_t start) {
    Piece piece;
    piece.file_offset = from.file_offset;
    piece.start = start;
    piece.size = from.size;
    piece.holes = Holes::all;
    if (!from.fd.is_open()) return piece;
    make_own(from.fd);
    piece.fd = std::move(from.fd);
    struct stat status = {};
    struct statfs system = {};
    if (fstat(piece.fd.get(), &status) != 0 || fstatfs(piece.fd.get(), &system) != 0)
        return io_error("memory file", errno);
    if (!is_whole(piece)) {
        return Error::make(Errc::stale, Origin::source, "memory file is shorter than the memory it holds");
    }
    piece.holding = holding_of(status);
    piece.holes = Holes::seek;
    if (system.f_type == TMPFS_MAGIC) piece.holes = Holes::walk;
    if (system.f_type == HUGETLBFS_MAGIC) {
        piece.holes = Holes::unknown;
        piece.granule = static_cast<std::uint64_t>(system.f_bsize);
    } else if (S_ISBLK(status.st_mode) || lseek(piece.fd.get(), 0, SEEK_HOLE) < 0) {
        piece.holes = Holes::none;
    }
    return piece;
}

MappedStore::Holding MappedStore::holding_of(const struct stat& status) {
    // Files bear the time of the last timer tick, 1 to 10 ms apart.
    constexpr std::int64_t kSeveralTicks = 50'000'000;
    constexpr std::int64_t kSecond = 1'000'000'000;
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    Holding holding;
    holding.blocks = static_cast<std::uint64_t>(status.st_blocks);
    holding.changed_ns = status.st_ctim.tv_sec * kSecond + status.st_ctim.tv_nsec;
    holding.is_fresh = now.tv_sec * kSecond + now.tv_nsec - holding.changed_ns < kSeveralTicks;
    return holding;
}

bool MappedStore::may_have_new_holes(const Piece& piece, const Holding& now) {
    const Holding& before = piece.holding;
    switch (piece.holes) {
        case Holes::none:
        case Holes::all: return false;
        case Holes::walk: return now.blocks < before.blocks || now.changed_ns != before.changed_ns || before.is_fresh;
        case Holes::unknown: return now.blocks != before.blocks;  // hugetlbfs tells no time
        case Holes::seek:
            return now.blocks < before.blocks;  // looking at a hole of a file on a disk fills it in no case
    }
    return true;
}

Result<std::shared_ptr<MappedStore>> MappedStore::make(std::vector<FilePiece> wanted, AccessMethod method) {
    std::vector<Piece> pieces;
    std::uint64_t size = 0;
    for (FilePiece& from : wanted) {
        if (!can_be(from, &from == &wanted.back(), size))
            return Error::make(Errc::usage, Origin::source, "piece of a memory file");
        pieces.push_back(VITRINE_TRY(open_piece(std::move(from), size)));
        size += pieces.back().size;
    }
    if (pieces.empty()) return Error::make(Errc::usage, Origin::source, "memory file without pieces");
    std::shared_ptr<MappedStore> store(new MappedStore(std::move(pieces), size, method));
    store->map_all();
    return store;
}

MappedStore::MappedStore(std::vector<Piece> pieces, std::uint64_t size, AccessMethod method)
    : pieces_(std::move(pieces)), size_(size), method_(method) {}

MappedStore::~MappedStore() {
    pieces_.clear();  // the guards go before the mapping
    if (reservation_ != nullptr) munmap(reservation_, reserved_);
}

// All pieces in one stretch of addresses. What cannot be mapped (too large for the address space, no mmap on that file
// system) is left to pread.
void MappedStore::map_all() {
    std::uint64_t alignment = kPageSize;
    for (const Piece& piece : pieces_) alignment = std::max(alignment, piece.granule);
    const std::uint64_t length = round_up(size_, alignment) + alignment;
    void* at = mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return;
    reservation_ = static_cast<std::byte*>(at);
    reserved_ = length;
    const std::size_t words = round_up(size_, 64 * kPageSize) / (64 * kPageSize);
    present_.reset(static_cast<std::uint64_t*>(std::calloc(words, sizeof(std::uint64_t))));
    if (!present_) return;
    const auto address = reinterpret_cast<std::uintptr_t>(reservation_);
    base_ = reservation_ + (round_up(address, alignment) - address);
    for (Piece& piece : pieces_) {
        if (piece.holes == Holes::all || piece.start % piece.granule != 0 || piece.file_offset % piece.granule != 0)
            continue;
        piece.guard = FaultGuard(base_ + piece.start, round_up(piece.size, piece.granule), piece.granule, tainted_);
        piece.mapped = piece.guard.is_active() && map_piece(piece);
        if (piece.mapped) learn_dense(piece);
    }
}

bool MappedStore::map_piece(const Piece& piece) {
    void* at = base_ + piece.start;
    return mmap(at, round_up(piece.size, piece.granule), PROT_READ, MAP_SHARED | MAP_FIXED, piece.fd.get(),
                static_cast<off_t>(piece.file_offset)) == at;
}

// All pages at once, where no hole can be.
void MappedStore::learn_dense(Piece& piece) {
    // A file on hugetlbfs has no hole if as much is allocated as it is long.
    struct stat status = {};
    const bool full = piece.holes == Holes::unknown && fstat(piece.fd.get(), &status) == 0 &&
                      static_cast<std::uint64_t>(status.st_blocks) * 512 >= static_cast<std::uint64_t>(status.st_size);
    if (piece.holes == Holes::none || full) set_present(piece.start, piece.end());
}

bool MappedStore::is_whole(const Piece& piece) {
    struct stat status = {};
    return fstat(piece.fd.get(), &status) == 0 &&
           length_of(piece.fd.get(), status).value_or(0) >= piece.file_offset + piece.size;
}

Result<void> MappedStore::check_files() const {
    for (const Piece& piece : pieces_) {
        if (!piece.fd.is_open()) continue;
        if (!is_whole(piece)) return Error::make(Errc::stale, Origin::source, "memory file became shorter");
    }
    return {};
}

void MappedStore::new_generation() {
    const bool was_tainted = is_tainted();
    bool whole = true;
    for (Piece& piece : pieces_) {
        if (!piece.mapped) continue;
        struct stat status = {};
        if (fstat(piece.fd.get(), &status) != 0) continue;
        whole = whole && length_of(piece.fd.get(), status).value_or(0) >= piece.file_offset + piece.size;
        // Pages were given back (a balloon, a hole punched): which ones is not told.
        const Holding now = holding_of(status);
        const bool new_holes = may_have_new_holes(piece, now);
        piece.holding = now;
        if (!new_holes && !was_tainted) continue;
        clear_present(piece);
        if (was_tainted) piece.mapped = map_piece(piece);  // the file's own pages again, where zeros were put
        if (piece.mapped) learn_dense(piece);
    }
    // Of a file that lost its end, all is read with pread, which tells what is gone.
    tainted_.store(whole ? 0 : 1, std::memory_order_relaxed);
}

}  // namespace vitrine
