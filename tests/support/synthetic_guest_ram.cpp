#include "support/synthetic_guest_ram.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace vitrine::test {

std::uint64_t GuestRam::size() const {
    std::uint64_t sum = 0;
    for (const MemoryRange& range : ranges_) sum += range.size;
    return sum;
}

bool GuestRam::contains(std::uint64_t address) const {
    return std::any_of(ranges_.begin(), ranges_.end(),
                       [&](const MemoryRange& r) { return address - r.start.value < r.size; });
}

void GuestRam::write(Gpa address, std::span<const std::byte> bytes) {
    for (std::size_t done = 0; done < bytes.size();) {
        const std::uint64_t at = address.value + done;
        if (!contains(at)) throw std::logic_error("made-up guest: write outside its RAM at " + std::to_string(at));
        auto& page = pages_[at / kPageSize];
        if (!page) page = std::make_unique<Page>();
        const std::size_t take = std::min<std::size_t>(kPageSize - at % kPageSize, bytes.size() - done);
        std::memcpy(page->data() + at % kPageSize, bytes.data() + done, take);
        done += take;
    }
}

void GuestRam::read(Gpa address, std::span<std::byte> out) const {
    for (std::size_t i = 0; i < out.size(); ++i) {
        const auto page = pages_.find((address.value + i) / kPageSize);
        out[i] = page == pages_.end() ? std::byte{0} : (*page->second)[(address.value + i) % kPageSize];
    }
}

MemoryLayout GuestRam::layout(bool certain) const {
    MemoryLayout layout;
    layout.name = "made up";
    layout.certain = certain;
    std::uint64_t offset = 0;
    for (const MemoryRange& range : ranges_) {
        layout.extents.push_back({range.start, range.size, offset});
        offset += range.size;
    }
    return layout;
}

std::optional<std::uint64_t> GuestRam::offset_of(std::uint64_t address) const {
    std::uint64_t offset = 0;
    for (const MemoryRange& range : ranges_) {
        if (address - range.start.value < range.size) return offset + (address - range.start.value);
        offset += range.size;
    }
    return std::nullopt;
}

void GuestRam::for_each_piece(
    const std::function<void(std::uint64_t offset, std::span<const std::byte> piece)>& visit) const {
    for (const auto& [number, page] : pages_) {
        const auto offset = offset_of(number * kPageSize);
        if (!offset) continue;
        // RAM may end inside a page.
        const std::uint64_t left = size() - *offset;
        visit(*offset, std::span<const std::byte>(*page).first(
                           static_cast<std::size_t>(std::min<std::uint64_t>(kPageSize, left))));
    }
}

std::vector<std::byte> GuestRam::flat() const {
    std::vector<std::byte> bytes(static_cast<std::size_t>(size()));
    for_each_piece([&](std::uint64_t offset, std::span<const std::byte> piece) {
        std::memcpy(bytes.data() + offset, piece.data(), piece.size());
    });
    return bytes;
}

void GuestRam::save(const std::string& path) const {
    const int fd = open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, static_cast<off_t>(size())) != 0) throw std::runtime_error("cannot write " + path);
    for_each_piece([&](std::uint64_t offset, std::span<const std::byte> piece) {
        if (pwrite(fd, piece.data(), piece.size(), static_cast<off_t>(offset)) != static_cast<ssize_t>(piece.size())) {
            throw std::runtime_error("cannot write " + path);
        }
    });
    close(fd);
}

SparseStore::SparseStore(const GuestRam& ram) : size_(ram.size()) {
    for (const auto& [number, page] : ram.pages()) {
        if (const auto offset = ram.offset_of(number * kPageSize)) pages_[*offset / kPageSize] = *page;
    }
}

Result<void> SparseStore::read(std::span<StoreReadOp> ops) {
    for (StoreReadOp& op : ops) {
        op.ok = op.offset <= size_ && size_ - op.offset >= op.out.size();
        op.status = Errc::out_of_range;
        if (op.ok) copy(op.offset, op.out);
    }
    return {};
}

std::vector<StoreRange> SparseStore::populated(StoreRange within) {
    std::vector<StoreRange> found;
    for (auto it = pages_.lower_bound(within.offset / kPageSize); it != pages_.end(); ++it) {
        const std::uint64_t low = std::max(it->first * kPageSize, within.offset);
        const std::uint64_t high = std::min({(it->first + 1) * kPageSize, within.offset + within.size, size_});
        if (low >= high) break;
        if (!found.empty() && found.back().offset + found.back().size == low) found.back().size += high - low;
        else found.push_back({low, high - low});
    }
    return found;
}

void SparseStore::copy(std::uint64_t offset, std::span<std::byte> out) const {
    for (std::size_t done = 0; done < out.size();) {
        const std::uint64_t at = offset + done;
        const std::size_t take = std::min<std::size_t>(kPageSize - at % kPageSize, out.size() - done);
        const auto page = pages_.find(at / kPageSize);
        if (page == pages_.end()) std::memset(out.data() + done, 0, take);
        else std::memcpy(out.data() + done, page->second.data() + at % kPageSize, take);
        done += take;
    }
}

Result<void> StoreFilter::read(std::span<StoreReadOp> ops) {
    if (gone) return Error::make(Errc::stale, Origin::source, "made-up store");
    VITRINE_CHECK(inner_->read(ops));
    for (StoreReadOp& op : ops) {
        const std::size_t number = operations++;
        if (refuse && refuse(number, op)) {
            op.ok = false;
            op.status = Errc::fault;
            std::fill(op.out.begin(), op.out.end(), std::byte{0xee});  // what a failed read may leave behind
        } else if (alter) {
            alter(number, op);
        }
    }
    return {};
}

SyntheticMachine::SyntheticMachine(std::shared_ptr<RamStore> store, std::vector<MemoryLayout> layouts,
                                   std::vector<VcpuState> vcpus)
    : layouts_(std::move(layouts)), memory_(std::move(store), layouts_.front()), registers_(std::move(vcpus)) {
    info_.kind = "made up";
    info_.name = "made-up guest";
}
SyntheticMachine::~SyntheticMachine() = default;

VcpuRegisters* SyntheticMachine::registers() {
    return registers_.states.empty() && !registers_.now ? nullptr : &registers_;
}

Result<void> SyntheticMachine::check_alive() {
    if (alive) return {};
    return Error::with_text(Errc::stale, Origin::source, "made-up guest: it ended");
}

void SyntheticMachine::set_registers(std::function<Result<std::vector<VcpuState>>(std::size_t number)> now) {
    registers_.now = std::move(now);
}

Result<std::vector<VcpuState>> SyntheticMachine::Registers::read_registers(RegisterSet) {
    const std::size_t number = looks++;
    return now ? now(number) : states;
}

void SyntheticMachine::set_interchangeable(std::vector<InterchangeableParts> parts, std::string doubt) {
    interchangeable_ = std::move(parts);
    info_.unproven_order = std::move(doubt);
}

}  // namespace vitrine::test
