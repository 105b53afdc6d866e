#include "sources/file/mapped_store.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace vitrine {
namespace {

// From this many bytes on it pays to ask tmpfs where a run of data ends, which visits every page of the run.
constexpr std::uint64_t kBulk = 256 * 1024;

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) { return (value + unit - 1) / unit * unit; }

off_t file_position(std::uint64_t value) { return static_cast<off_t>(value); }

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

bool has_non_zero(std::span<const std::byte> bytes) {
    return std::any_of(bytes.begin(), bytes.end(), [](std::byte b) { return b != std::byte{0}; });
}

Error io_error(std::string_view doing, int error) {
    return Error::with_text(error == EACCES || error == EPERM ? Errc::permission : Errc::io, Origin::source,
                            fmt::format("{}: {}", doing, std::strerror(error)));
}

}  // namespace

Result<std::shared_ptr<MappedStore>> MappedStore::make(std::vector<FilePiece> wanted, AccessMethod method) {
    std::vector<Piece> pieces;
    std::uint64_t size = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        FilePiece& from = wanted[i];
        const bool last = i + 1 == wanted.size();
        std::uint64_t file_end = 0;
        if (from.size == 0 || from.file_offset % kPageSize != 0 || (!last && from.size % kPageSize != 0) ||
            __builtin_add_overflow(from.file_offset, from.size, &file_end) || file_end > INT64_MAX ||
            __builtin_add_overflow(size, from.size, &file_end) || file_end > INT64_MAX) {
            return Error::make(Errc::usage, Origin::source, "piece of a memory file");
        }
        Piece piece;
        piece.file_offset = from.file_offset;
        piece.start = size;
        piece.size = from.size;
        piece.holes = Holes::all;
        if (from.fd.is_open()) {
            make_own(from.fd);
            piece.fd = std::move(from.fd);
            struct stat status = {};
            struct statfs system = {};
            if (fstat(piece.fd.get(), &status) != 0 || fstatfs(piece.fd.get(), &system) != 0) return io_error("memory file", errno);
            if (length_of(piece.fd.get(), status).value_or(0) < piece.file_offset + piece.size) {
                return Error::make(Errc::stale, Origin::source, "memory file is shorter than the memory it holds");
            }
            piece.blocks = static_cast<std::uint64_t>(status.st_blocks);
            piece.holes = Holes::seek;
            if (system.f_type == TMPFS_MAGIC) piece.holes = Holes::walk;
            if (system.f_type == HUGETLBFS_MAGIC) {
                piece.holes = Holes::unknown;
                piece.granule = static_cast<std::uint64_t>(system.f_bsize);
            } else if (S_ISBLK(status.st_mode) || lseek(piece.fd.get(), 0, SEEK_HOLE) < 0) {
                piece.holes = Holes::none;
            }
        }
        size += piece.size;
        pieces.push_back(std::move(piece));
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
        if (piece.holes == Holes::all || piece.start % piece.granule != 0 || piece.file_offset % piece.granule != 0) continue;
        piece.guard = FaultGuard(base_ + piece.start, round_up(piece.size, piece.granule), piece.granule, tainted_);
        piece.mapped = piece.guard.is_active() && map_piece(piece);
        if (piece.mapped) learn_dense(piece);
    }
}

bool MappedStore::map_piece(const Piece& piece) {
    void* at = base_ + piece.start;
    return mmap(at, round_up(piece.size, piece.granule), PROT_READ, MAP_SHARED | MAP_FIXED, piece.fd.get(),
                file_position(piece.file_offset)) == at;
}

// All pages at once, where no hole can be.
void MappedStore::learn_dense(Piece& piece) {
    // A file on hugetlbfs has no hole if as much is allocated as it is long.
    struct stat status = {};
    const bool full = piece.holes == Holes::unknown && fstat(piece.fd.get(), &status) == 0 &&
                      static_cast<std::uint64_t>(status.st_blocks) * 512 >= static_cast<std::uint64_t>(status.st_size);
    if (piece.holes == Holes::none || full) set_present(piece.start, piece.end());
}

RamStore::Mapping MappedStore::mapping() const {
    if (base_ == nullptr) return {};
    return {base_, present_.get(), &tainted_};
}

const MappedStore::Piece& MappedStore::piece_at(std::uint64_t offset) const {
    auto after = std::upper_bound(pieces_.begin(), pieces_.end(), offset,
                                  [](std::uint64_t at, const Piece& piece) { return at < piece.start; });
    return *std::prev(after);
}

bool MappedStore::is_present(std::uint64_t page) const {
    return (__atomic_load_n(&present_[page / 64], __ATOMIC_RELAXED) >> (page % 64) & 1) != 0;
}

void MappedStore::set_present(std::uint64_t start, std::uint64_t end) {
    const std::uint64_t last = round_up(end, kPageSize) / kPageSize;
    for (std::uint64_t page = start / kPageSize; page < last;) {
        const std::uint64_t count = std::min<std::uint64_t>(64 - page % 64, last - page);
        const std::uint64_t mask = (count == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1) << (page % 64);
        __atomic_fetch_or(&present_[page / 64], mask, __ATOMIC_RELAXED);
        page += count;
    }
}

void MappedStore::clear_present(const Piece& piece) {
    const std::uint64_t last = round_up(piece.end(), kPageSize) / kPageSize;
    for (std::uint64_t page = piece.start / kPageSize; page < last; ++page) {
        __atomic_fetch_and(&present_[page / 64], ~(std::uint64_t{1} << (page % 64)), __ATOMIC_RELAXED);
    }
}

// A huge page from which something else than zeros was read is no hole.
void MappedStore::learn_from(const Piece& piece, std::uint64_t offset, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const std::uint64_t page = offset / piece.granule * piece.granule;  // pieces start at a multiple, or are not mapped
        const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), page + piece.granule - offset));
        if (has_non_zero(bytes.first(take))) set_present(page, std::min(page + piece.granule, piece.end()));
        bytes = bytes.subspan(take);
        offset += take;
    }
}

// How far, from offset on, all pages may be touched; offset itself if its own may not.
std::uint64_t MappedStore::present_until(std::uint64_t offset, std::uint64_t end) const {
    if (!present_) return offset;
    std::uint64_t page = offset / kPageSize;
    const std::uint64_t last = round_up(end, kPageSize) / kPageSize;
    while (page < last) {
        const std::uint64_t clear = ~__atomic_load_n(&present_[page / 64], __ATOMIC_RELAXED) >> (page % 64);
        if (clear != 0) {
            page += static_cast<std::uint64_t>(__builtin_ctzll(clear));
            break;
        }
        page += 64 - page % 64;
    }
    return std::clamp(page * kPageSize, offset, end);
}

bool MappedStore::is_whole(const Piece& piece) {
    struct stat status = {};
    return fstat(piece.fd.get(), &status) == 0 &&
           length_of(piece.fd.get(), status).value_or(0) >= piece.file_offset + piece.size;
}

// What the file system says about the bytes from offset on, up to at most `end`. Data: their bits are set now.
MappedStore::Run MappedStore::look(const Piece& piece, std::uint64_t offset, std::uint64_t end) {
    if (piece.holes == Holes::all) return {end, Content::zeros};
    if (piece.holes == Holes::none || piece.holes == Holes::unknown) return {end, Content::unknown};
    const std::uint64_t shift = piece.start - piece.file_offset;  // modulo 2^64: file position = offset - shift
    const off_t data = lseek(piece.fd.get(), file_position(offset - shift), SEEK_DATA);
    if (data < 0) {
        // No data from here to the end of the file: a hole, unless the file ends before the piece.
        return {end, errno == ENXIO && is_whole(piece) ? Content::zeros : Content::unknown};
    }
    const std::uint64_t first = std::min(static_cast<std::uint64_t>(data) + shift, end);
    if (first > offset) return {first, Content::zeros};
    if (!piece.mapped) return {end, Content::unknown};
    const std::uint64_t page_end = std::min((offset / kPageSize + 1) * kPageSize, piece.end());
    std::uint64_t data_end = page_end;
    if (piece.holes == Holes::seek || end - offset >= kBulk) {
        const off_t hole = lseek(piece.fd.get(), file_position(offset - shift), SEEK_HOLE);
        if (hole >= 0) data_end = std::clamp(static_cast<std::uint64_t>(hole) + shift, page_end, piece.end());
    }
    set_present(offset, data_end);
    return {std::min(data_end, end), Content::data};
}

bool MappedStore::copy_present(std::uint64_t offset, std::span<std::byte> out) const {
    std::memcpy(out.data(), base_ + offset, out.size());
    std::atomic_thread_fence(std::memory_order_acquire);
    return !is_tainted();
}

MappedStore::Failure MappedStore::read_file(const Piece& piece, std::uint64_t offset, std::span<std::byte> out) {
    std::size_t done = 0;
    while (done < out.size()) {
        const std::uint64_t at = offset - piece.start + piece.file_offset + done;
        const ssize_t got = pread(piece.fd.get(), out.data() + done, out.size() - done, file_position(at));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return Errc::io;
        if (got == 0) return Errc::stale;  // the file ends before the piece: it was truncated
        done += static_cast<std::size_t>(got);
    }
    return std::nullopt;
}

MappedStore::Failure MappedStore::read_piece(const Piece& piece, std::uint64_t offset, std::span<std::byte> out) {
    while (!out.empty()) {
        const std::uint64_t end = offset + out.size();
        const bool by_mapping = piece.mapped && !is_tainted();
        std::uint64_t next = by_mapping ? present_until(offset, end) : offset;
        if (next > offset) {
            const auto part = out.first(static_cast<std::size_t>(next - offset));
            if (!copy_present(offset, part)) continue;  // again, with pread
        } else {
            const Run run = look(piece, offset, end);
            next = run.end;
            const auto part = out.first(static_cast<std::size_t>(next - offset));
            if (run.content == Content::zeros) {
                std::memset(part.data(), 0, part.size());
            } else if (run.content == Content::data && by_mapping) {
                continue;  // from the mapping
            } else {
                if (auto failed = read_file(piece, offset, part)) return failed;
                if (by_mapping && piece.holes == Holes::unknown) learn_from(piece, offset, part);
            }
        }
        out = out.subspan(static_cast<std::size_t>(next - offset));
        offset = next;
    }
    return std::nullopt;
}

MappedStore::Failure MappedStore::read_one(std::uint64_t offset, std::span<std::byte> out) {
    if (offset > size_ || size_ - offset < out.size()) return Errc::out_of_range;
    while (!out.empty()) {
        const Piece& piece = piece_at(offset);
        const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), piece.end() - offset));
        if (auto failed = read_piece(piece, offset, out.first(take))) return failed;
        out = out.subspan(take);
        offset += take;
    }
    return std::nullopt;
}

Result<void> MappedStore::read(std::span<StoreReadOp> ops) {
    for (StoreReadOp& op : ops) {
        const Failure failed = read_one(op.offset, op.out);
        op.ok = !failed;
        op.status = failed.value_or(Errc::fault);
    }
    return {};
}

void MappedStore::populated_in(const Piece& piece, std::uint64_t start, std::uint64_t end, std::vector<StoreRange>& found) {
    while (start < end) {
        std::uint64_t next = present_until(start, end);
        bool is_zeros = false;
        if (next == start) {
            // The whole rest of the piece: one question for a run, however small the part asked for.
            const Run run = look(piece, start, std::max(end, std::min(piece.end(), start + kBulk)));
            next = std::min(run.end, end);
            is_zeros = run.content == Content::zeros;
        }
        if (!is_zeros) {
            if (!found.empty() && found.back().offset + found.back().size == start) found.back().size += next - start;
            else found.push_back({start, next - start});
        }
        start = next;
    }
}

std::vector<StoreRange> MappedStore::populated(StoreRange within) {
    std::vector<StoreRange> found;
    if (within.offset >= size_) return found;
    const std::uint64_t end = within.offset + std::min(within.size, size_ - within.offset);
    for (const Piece& piece : pieces_) {
        const std::uint64_t low = std::max(within.offset, piece.start);
        const std::uint64_t high = std::min(end, piece.end());
        if (low < high) populated_in(piece, low, high, found);
    }
    return found;
}

Result<void> MappedStore::read_strided(std::uint64_t offset, std::uint64_t stride, std::uint32_t width, std::size_t count,
                                       std::span<std::byte> out) {
    if (width == 0 || count == 0) return {};
    std::uint64_t last = 0;
    if (width > stride || out.size() / width < count || __builtin_mul_overflow(stride, count - 1, &last) ||
        __builtin_add_overflow(last, offset, &last) || last > ~std::uint64_t{width}) {
        return Error::make(Errc::usage, Origin::source, "strided read");
    }
    if (base_ == nullptr || is_tainted()) return RamStore::read_strided(offset, stride, width, count, out);
    std::memset(out.data(), 0, width * count);
    for (const StoreRange& part : populated({offset, last + width - offset})) {
        const std::uint64_t part_end = part.offset + part.size;
        const std::uint64_t inside = part.offset - offset;
        std::uint64_t i = inside < width ? 0 : (inside - width) / stride + 1;  // the first piece that ends in this part
        for (; i < count; ++i) {
            const std::uint64_t at = offset + i * stride;
            if (at >= part_end) break;
            std::byte* to = out.data() + i * width;
            if (present_until(at, at + width) != at + width) {
                if (read_one(at, {to, width})) std::memset(to, 0, width);
            } else if (width == sizeof(std::uint64_t)) {
                std::memcpy(to, base_ + at, sizeof(std::uint64_t));
            } else {
                std::memcpy(to, base_ + at, width);
            }
        }
    }
    std::atomic_thread_fence(std::memory_order_acquire);
    if (is_tainted()) return RamStore::read_strided(offset, stride, width, count, out);
    return {};
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
        const auto blocks = static_cast<std::uint64_t>(status.st_blocks);
        // Pages were given back (a balloon, a hole punched): which ones is not told.
        const bool fewer = blocks < std::exchange(piece.blocks, blocks) && piece.holes != Holes::none;
        if (!fewer && !was_tainted) continue;
        clear_present(piece);
        if (was_tainted) piece.mapped = map_piece(piece);  // the file's own pages again, where zeros were put
        if (piece.mapped) learn_dense(piece);
    }
    // Of a file that lost its end, all is read with pread, which tells what is gone.
    tainted_.store(whole ? 0 : 1, std::memory_order_relaxed);
}

}  // namespace vitrine
