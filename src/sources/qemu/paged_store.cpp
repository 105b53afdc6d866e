#include "sources/qemu/paged_store.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "vitrine/base/address.h"

namespace vitrine {
namespace {

constexpr std::uint64_t kChunk = 2u << 20;
constexpr std::uint64_t kPagesPerChunk = kChunk / kPageSize;

}  // namespace

PagedStore::PagedStore(std::shared_ptr<const HostProcess> process, Source source)
    : process_(std::move(process)),
      source_(std::move(source)),
      memory_(*process_),
      page_map_(*process_,
                source_.absent == Absent::fault ? PageMap::Counting::all_pages : PageMap::Counting::own_pages),
      chunks_(static_cast<std::size_t>((source_.size + kChunk - 1) / kChunk), Chunk::unknown),
      present_(chunks_.size() * (kPagesPerChunk / 64), 0) {}

void PagedStore::new_generation() {
    std::fill(chunks_.begin(), chunks_.end(), Chunk::unknown);
    page_map_.new_generation();
}

PagedStore::Chunk PagedStore::chunk_at(std::size_t index) {
    Chunk& chunk = chunks_[index];
    if (chunk != Chunk::unknown) return chunk;
    std::array<std::uint8_t, kPagesPerChunk> flags;
    const std::uint64_t start = index * kChunk;
    const std::uint64_t pages = (std::min(kChunk, source_.size - start) + kPageSize - 1) / kPageSize;
    const auto used = std::span(flags).first(static_cast<std::size_t>(pages));
    if (!page_map_.look_up(source_.host_start + start, used)) {
        // Nothing is known. Anonymous memory may be touched (it gets the zero page); anything else is left alone.
        return source_.absent == Absent::zeros ? Chunk::all : Chunk::none;
    }
    std::size_t set = 0;
    std::uint64_t* const words = &present_[index * (kPagesPerChunk / 64)];
    std::fill(words, words + kPagesPerChunk / 64, 0);
    for (std::size_t i = 0; i < used.size(); ++i) {
        if (used[i] == 0) continue;
        ++set;
        words[i / 64] |= std::uint64_t{1} << (i % 64);
    }
    return chunk = set == 0 ? Chunk::none : set == used.size() ? Chunk::all : Chunk::mixed;
}

bool PagedStore::is_present(std::uint64_t page) const {
    return (present_[static_cast<std::size_t>(page / 64)] >> (page % 64) & 1) != 0;
}

std::optional<Errc> PagedStore::read_absent(std::uint64_t offset, std::span<std::byte> out) const {
    if (source_.absent == Absent::fault) return Errc::fault;
    if (source_.absent == Absent::zeros) {
        std::fill(out.begin(), out.end(), std::byte{0});
        return std::nullopt;
    }
    std::size_t done = 0;
    while (done < out.size()) {
        const auto position = static_cast<off_t>(source_.file_offset + offset + done);
        const ssize_t n = ::pread(source_.file.get(), out.data() + done, out.size() - done, position);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return Errc::io;
        if (n == 0) return Errc::fault;  // the file is shorter than its mapping: the guest would get SIGBUS there
        done += static_cast<std::size_t>(n);
    }
    return std::nullopt;
}

// Splits an op where presence changes: what is present is left for one batch, the rest is read at once.
void PagedStore::plan(StoreReadOp& op, std::size_t index, std::vector<Pending>& pending) {
    op.ok = true;
    std::size_t done = 0;
    while (done < op.out.size()) {
        const std::uint64_t at = op.offset + done;
        const Chunk chunk = chunk_at(static_cast<std::size_t>(at / kChunk));
        std::uint64_t end = (at / kChunk + 1) * kChunk;
        bool present = chunk == Chunk::all;
        if (chunk == Chunk::mixed) {
            std::uint64_t page = at / kPageSize;
            present = is_present(page);
            do ++page;
            while (page * kPageSize < end && is_present(page) == present);
            end = page * kPageSize;
        }
        const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(end - at, op.out.size() - done));
        const std::span<std::byte> out = op.out.subspan(done, size);
        done += size;
        if (!present) {
            if (const auto failed = read_absent(at, out)) {
                op.ok = false;
                op.status = *failed;
                return;
            }
            continue;
        }
        ProcessReadOp* const last = pending.empty() || pending.back().owner != index ? nullptr : &pending.back().op;
        if (last != nullptr && last->out.data() + last->out.size() == out.data()) {
            last->out = {last->out.data(), last->out.size() + size};
        } else {
            pending.push_back({{source_.host_start + at, out, false}, index});
        }
    }
}

Result<void> PagedStore::read(std::span<StoreReadOp> ops) {
    std::vector<Pending> pending;
    pending.reserve(ops.size());
    std::unique_lock lock(mutex_);
    for (std::size_t i = 0; i < ops.size(); ++i) {
        StoreReadOp& op = ops[i];
        op.ok = false;
        if (op.offset > source_.size || source_.size - op.offset < op.out.size()) {
            op.status = Errc::out_of_range;
            continue;
        }
        plan(op, i, pending);
    }
    lock.unlock();
    if (pending.empty()) return process_->check_alive();
    std::vector<ProcessReadOp> batch;
    batch.reserve(pending.size());
    for (const Pending& p : pending) batch.push_back(p.op);
    VITRINE_CHECK(memory_.read(batch));
    for (std::size_t i = 0; i < pending.size(); ++i) {
        StoreReadOp& op = ops[pending[i].owner];
        if (batch[i].ok || !op.ok) continue;
        op.ok = false;
        op.status = Errc::fault;
    }
    return {};
}

std::vector<StoreRange> PagedStore::file_data(StoreRange within) const {
    std::vector<StoreRange> found;
    const std::uint64_t begin = source_.file_offset + within.offset;
    const std::uint64_t end = begin + within.size;
    for (std::uint64_t at = begin; at < end;) {
        const off_t data = ::lseek(source_.file.get(), static_cast<off_t>(at), SEEK_DATA);
        // ENXIO: nothing but a hole up to the end of the file. Anything else: holes are not known here.
        if (data < 0 && errno == ENXIO) break;
        if (data < 0) return {within};
        const auto from = static_cast<std::uint64_t>(data);
        if (from >= end) break;
        const off_t hole = ::lseek(source_.file.get(), data, SEEK_HOLE);
        const std::uint64_t to = hole < 0 ? end : std::min(static_cast<std::uint64_t>(hole), end);
        if (to <= from) return {within};
        found.push_back({from - source_.file_offset, to - from});
        at = to;
    }
    return found;
}

std::vector<StoreRange> PagedStore::populated(StoreRange within) {
    if (within.offset >= source_.size) return {};
    within.size = std::min(within.size, source_.size - within.offset);
    // Whole pages, then cut to what was asked for.
    const std::uint64_t first = within.offset / kPageSize * kPageSize;
    const std::uint64_t last = within.offset + within.size;
    std::unique_lock lock(mutex_);
    const auto own = page_map_.ranges(source_.host_start + first,
                                      (last - first + kPageSize - 1) / kPageSize * kPageSize);
    lock.unlock();
    if (!own) return {within};
    std::vector<StoreRange> found;
    for (const HostRange& r : *own) found.push_back({r.start - source_.host_start, r.size});
    if (source_.absent == Absent::file) {
        for (const StoreRange& r : file_data(within)) found.push_back(r);
        std::sort(found.begin(), found.end(),
                  [](const StoreRange& a, const StoreRange& b) { return a.offset < b.offset; });
    }
    std::vector<StoreRange> merged;
    for (const StoreRange& r : found) {
        const std::uint64_t begin = std::max(r.offset, within.offset);
        const std::uint64_t end = std::min(r.offset + r.size, last);
        if (begin >= end) continue;
        if (!merged.empty() && begin <= merged.back().offset + merged.back().size) {
            StoreRange& back = merged.back();
            back.size = std::max(back.offset + back.size, end) - back.offset;
        } else {
            merged.push_back({begin, end - begin});
        }
    }
    return merged;
}

}  // namespace vitrine
