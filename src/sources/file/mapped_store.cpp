// MappedStore: reading.
#include "sources/file/mapped_store.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace vitrine {
namespace {

// From this many bytes on it pays to ask tmpfs where a run of data ends, which visits every page of the run.
constexpr std::uint64_t kBulk = 256 * 1024;

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) { return (value + unit - 1) / unit * unit; }

off_t file_position(std::uint64_t value) { return static_cast<off_t>(value); }

bool has_non_zero(std::span<const std::byte> bytes) {
    return std::any_of(bytes.begin(), bytes.end(), [](std::byte b) { return b != std::byte{0}; });
}

}  // namespace

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
        const std::uint64_t page = offset / piece.granule *
                                   piece.granule;  // pieces start at a multiple, or are not mapped
        const auto take = static_cast<std::size_t>(
            std::min<std::uint64_t>(bytes.size(), page + piece.granule - offset));
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

void MappedStore::populated_in(const Piece& piece, std::uint64_t start, std::uint64_t end,
                               std::vector<StoreRange>& found) {
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

Result<void> MappedStore::read_strided(std::uint64_t offset, std::uint64_t stride, std::uint32_t width,
                                       std::size_t count, std::span<std::byte> out) {
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

}  // namespace vitrine
