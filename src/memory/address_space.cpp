#include "vitrine/memory/address_space.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "memory/page_walk.h"

namespace vitrine {
namespace {

constexpr unsigned kRegionShift = 21;
constexpr unsigned kDirectoryShift = 30;
constexpr std::uint64_t kRegionSize = std::uint64_t{1} << kRegionShift;

constexpr std::uint64_t left_in_page(std::uint64_t address) { return kPageSize - address % kPageSize; }

}  // namespace

AddressSpace::AddressSpace(PhysicalMemory& memory, PagingMode mode, Gpa root)
    : memory_(&memory), direct_(dynamic_cast<GuestMemory*>(&memory)), mode_(mode), root_(root) {
    if (direct_ != nullptr) generation_ = direct_->generation_;
}

AddressSpace::AddressSpace(const AddressSpace& other)
    : memory_(other.memory_), direct_(other.direct_), mode_(other.mode_), root_(other.root_) {
    if (direct_ != nullptr) generation_ = direct_->generation_;
}

AddressSpace& AddressSpace::operator=(const AddressSpace& other) {
    if (this == &other) return *this;
    memory_ = other.memory_;
    direct_ = other.direct_;
    mode_ = other.mode_;
    root_ = other.root_;
    forget();
    return *this;
}

void AddressSpace::forget() const {
    epoch_ += kOneEpoch;
    if (epoch_ == kNoEpoch) {
        cache_.fill({});
        regions_.fill({});
        directories_.fill({});
        epoch_ = 0;
    }
    if (direct_ != nullptr) generation_ = direct_->generation_;
}

void AddressSpace::new_generation() const {
    memory_->new_generation();
    forget();
}

Result<Translation> AddressSpace::translate(Gva address) const {
    return vitrine::translate(*memory_, mode_, root_, address);
}

// Keeps what an entry at the given level said, for refill().
void AddressSpace::remember(std::uint64_t address, unsigned shift, std::uint64_t frame, bool is_table) const {
    if (walk::entry_size(mode_) != 8) return;
    const auto host_of = [&](std::uint64_t table) {
        return direct_ != nullptr ? direct_->resolve(table, kPageSize) : nullptr;
    };
    if (shift == kDirectoryShift && is_table) {
        directories_[(address >> kDirectoryShift) % kDirectories] = {keyed(address >> kDirectoryShift), host_of(frame)};
        return;
    }
    if (is_table && shift != kRegionShift) return;
    regions_[(address >> kRegionShift) % kRegions] = {keyed(address >> kRegionShift),
                                                      is_table ? frame : frame & ~(kRegionSize - 1),
                                                      is_table ? host_of(frame) : nullptr, is_table};
}

// The 4 KiB frame that holds the address.
template <class Reader>
Result<std::uint64_t> AddressSpace::walk(Reader& reader, std::uint64_t address) const {
    std::uint64_t table = walk::root_table(mode_, root_);
    auto levels = walk::levels(mode_);
    const Region& region = regions_[(address >> kRegionShift) % kRegions];
    if (region.number == keyed(address >> kRegionShift)) {
        if (!region.is_table) return region.frame + (address & (kRegionSize - kPageSize));
        table = region.frame;
        levels = levels.last(1);
    }
    for (const walk::Level& level : levels) {
        const std::uint64_t at = walk::entry_address(mode_, level, table, address);
        std::uint64_t raw = 0;
        if (mode_ == PagingMode::x86_32) {
            auto value = reader.template read_value<std::uint32_t>(Gpa{at});
            if (!value) return Error::make_at(value.error().code, Origin::translate, at, level.name);
            raw = *value;
        } else {
            auto value = reader.template read_value<std::uint64_t>(Gpa{at});
            if (!value) return Error::make_at(value.error().code, Origin::translate, at, level.name);
            raw = *value;
        }
        const walk::Entry entry = walk::decode(mode_, level, raw);
        if (!entry.present) return Error::make_at(Errc::not_present, Origin::translate, at, level.name);
        if (entry.malformed) return Error::make_at(Errc::malformed, Origin::translate, at, level.name);
        if (level.shift == 12) return entry.frame;
        if (entry.large) {
            const std::uint64_t inside = address & ((std::uint64_t{1} << level.shift) - 1);
            const std::uint64_t frame = (entry.frame + inside) & ~(kPageSize - 1);
            remember(address, level.shift, frame, false);
            return frame;
        }
        table = entry.frame;
        remember(address, level.shift, table, true);
    }
    return Error::make_at(Errc::malformed, Origin::translate, address, "page walk");
}

bool AddressSpace::refill_region(std::uint64_t address, Region& region) const {
    const Directory& directory = directories_[(address >> kDirectoryShift) % kDirectories];
    if (directory.number != keyed(address >> kDirectoryShift) || directory.host == nullptr) return false;
    const walk::Level& level = walk::levels(mode_).last(2).front();
    const auto raw = load<std::uint64_t>(walk::entry_address(mode_, level, 0, address) + directory.host);
    const walk::Entry entry = walk::decode(mode_, level, raw);
    if (!entry.present || entry.malformed || !direct_->copy_is_good()) return false;
    region = {keyed(address >> kRegionShift), entry.frame,
              entry.large ? nullptr : direct_->resolve(entry.frame, kPageSize), !entry.large};
    return true;
}

// The short way to a page that is not in the cache, in a few dozen instructions, so that the processor can have several
// reads under way. Null: not that simple; the full walk finds out why.
const std::byte* AddressSpace::refill(std::uint64_t address) const {
    Region& region = regions_[(address >> kRegionShift) % kRegions];
    if (region.number != keyed(address >> kRegionShift) && !refill_region(address, region)) return nullptr;
    std::uint64_t frame = region.frame + (address & (kRegionSize - kPageSize));
    if (region.is_table) {
        if (region.host == nullptr) region.host = direct_->resolve(region.frame, kPageSize);
        if (region.host == nullptr) return nullptr;
        const auto raw = load<std::uint64_t>(region.host + (address >> 12 & 0x1ff) * sizeof(std::uint64_t));
        const std::uint64_t reserved = mode_ == PagingMode::x86_pae ? walk::kLevelsPae.back().reserved : 0;
        if ((raw & (reserved | walk::kPresent)) != walk::kPresent) return nullptr;
        frame = raw & kPteAddressMask;
    }
    const std::byte* host = direct_->resolve(frame, kPageSize);
    if (host == nullptr || !direct_->copy_is_good()) return nullptr;
    cache_[address / kPageSize % kEntries] = {keyed(address / kPageSize), frame, host};
    return host;
}

Result<std::uint64_t> AddressSpace::frame_of(std::uint64_t address) const {
    if (!is_canonical(mode_, Gva{address})) {
        return Error::make_at(Errc::out_of_range, Origin::translate, address, "address is not canonical");
    }
    if (mode_ == PagingMode::none) return address & ~(kPageSize - 1);
    return direct_ != nullptr ? walk(*direct_, address) : walk(*memory_, address);
}

void AddressSpace::check_generation() const {
    if (direct_ != nullptr && generation_ != direct_->generation_) forget();
}

// From the cache, or by a walk. check_generation() has been called.
Result<AddressSpace::Entry> AddressSpace::entry_for(Gva address) const {
    const std::uint64_t page = keyed(address.value / kPageSize);
    Entry& entry = cache_[address.value / kPageSize % kEntries];
    if (entry.page != page) {
        auto frame = frame_of(address.value);
        if (!frame) return std::move(frame).error();
        entry = {page, *frame, nullptr};
    }
    if (entry.host == nullptr && direct_ != nullptr) entry.host = direct_->resolve(entry.frame, kPageSize);
    return entry;
}

Result<void> AddressSpace::read(Gva address, std::span<std::byte> out) const {
    const std::uint64_t inside = address.value % kPageSize;
    if (out.size() > kPageSize - inside) return read_across(address, out);
    if (out.empty()) return {};
    if (const std::byte* host = find(address, out.size()); host != nullptr && copy_from(host, out)) [[likely]]
        return {};
    check_generation();
    return read_in_page(address, out);
}

bool AddressSpace::copy_from(const std::byte* host, std::span<std::byte> out) const {
    if (out.size() == sizeof(std::uint64_t)) std::memcpy(out.data(), host, sizeof(std::uint64_t));
    else if (!out.empty()) std::memcpy(out.data(), host, out.size());  // nothing may be at no address
    return direct_->copy_is_good();
}

Result<void> AddressSpace::read_in_page(Gva address, std::span<std::byte> out) const {
    auto entry = entry_for(address);
    if (!entry) return walk::failed_at(address.value, entry.error());
    const std::uint64_t inside = address.value % kPageSize;
    if (entry->host != nullptr && copy_from(entry->host + inside, out)) return {};
    ReadOp op{Gpa{entry->frame + inside}, out};
    VITRINE_CHECK(memory_->read(std::span<ReadOp>(&op, 1)));
    if (!op.ok) return Error::make_at(op.status, Origin::source, address.value, "virtual read");
    return {};
}

Result<GuestString> AddressSpace::read_c_string(Gva address, std::size_t max) const {
    GuestString string;
    std::array<std::byte, 1024> buffer;
    std::size_t step = 64;  // most strings are short: look at little first
    while (string.bytes.size() < max) {
        const std::uint64_t at = address.value + string.bytes.size();
        if (at < address.value) break;
        const auto take = static_cast<std::size_t>(
            std::min<std::uint64_t>({left_in_page(at), max - string.bytes.size(), step}));
        const auto chunk = std::span(buffer).first(take);
        if (auto outcome = read(Gva{at}, chunk); !outcome) {
            if (string.bytes.empty()) return std::move(outcome).error();
            break;
        }
        const char* text = reinterpret_cast<const char*>(chunk.data());
        if (const void* nul = std::memchr(text, 0, take); nul != nullptr) {
            string.bytes.append(text, static_cast<std::size_t>(static_cast<const char*>(nul) - text));
            return string;
        }
        string.bytes.append(text, take);
        step = std::min(step * 4, buffer.size());
    }
    string.truncated = true;
    return string;
}

}  // namespace vitrine
