// The RAM of a made-up guest: pages that exist once they were written to, and stores and machines over them.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/vector_store.h"
#include "vitrine/machine/machine.h"
#include "vitrine/memory/ram_store.h"

namespace vitrine::test {

class GuestRam {
public:
    using Page = std::array<std::byte, kPageSize>;

    explicit GuestRam(std::vector<MemoryRange> ranges) : ranges_(std::move(ranges)) {}

    [[nodiscard]] const std::vector<MemoryRange>& ranges() const { return ranges_; }
    [[nodiscard]] std::uint64_t size() const {
        std::uint64_t sum = 0;
        for (const MemoryRange& range : ranges_) sum += range.size;
        return sum;
    }
    [[nodiscard]] bool contains(std::uint64_t address) const {
        return std::any_of(ranges_.begin(), ranges_.end(),
                           [&](const MemoryRange& r) { return address - r.start.value < r.size; });
    }

    void write(Gpa address, std::span<const std::byte> bytes) {
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
    template <GuestScalar T>
    void write_value(Gpa address, T value) {
        write(address, std::as_bytes(std::span<const T, 1>(&value, 1)));
    }
    void read(Gpa address, std::span<std::byte> out) const {
        for (std::size_t i = 0; i < out.size(); ++i) {
            const auto page = pages_.find((address.value + i) / kPageSize);
            out[i] = page == pages_.end() ? std::byte{0} : (*page->second)[(address.value + i) % kPageSize];
        }
    }
    template <GuestScalar T>
    [[nodiscard]] std::optional<T> read_value(Gpa address) const {
        T value{};
        read(address, std::as_writable_bytes(std::span<T, 1>(&value, 1)));
        return value;
    }
    [[nodiscard]] const std::map<std::uint64_t, std::unique_ptr<Page>>& pages() const { return pages_; }

    // Blocks one after the other, as a monitor keeps them and as a raw file in block order has them.
    [[nodiscard]] MemoryLayout layout(bool certain = true) const {
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
    // nullopt: not RAM.
    [[nodiscard]] std::optional<std::uint64_t> offset_of(std::uint64_t address) const {
        std::uint64_t offset = 0;
        for (const MemoryRange& range : ranges_) {
            if (address - range.start.value < range.size) return offset + (address - range.start.value);
            offset += range.size;
        }
        return std::nullopt;
    }

    [[nodiscard]] std::vector<std::byte> flat() const {
        std::vector<std::byte> bytes(static_cast<std::size_t>(size()));
        for_each_piece([&](std::uint64_t offset, std::span<const std::byte> piece) {
            std::memcpy(bytes.data() + offset, piece.data(), piece.size());
        });
        return bytes;
    }
    // A sparse file in block order.
    void save(const std::string& path) const {
        const int fd = open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
        if (fd < 0 || ftruncate(fd, static_cast<off_t>(size())) != 0) throw std::runtime_error("cannot write " + path);
        for_each_piece([&](std::uint64_t offset, std::span<const std::byte> piece) {
            if (pwrite(fd, piece.data(), piece.size(), static_cast<off_t>(offset)) !=
                static_cast<ssize_t>(piece.size())) {
                throw std::runtime_error("cannot write " + path);
            }
        });
        close(fd);
    }

private:
    template <class Visit>
    void for_each_piece(Visit visit) const {
        for (const auto& [number, page] : pages_) {
            const auto offset = offset_of(number * kPageSize);
            if (!offset) continue;
            // RAM may end inside a page.
            const std::uint64_t left = size() - *offset;
            visit(*offset, std::span<const std::byte>(*page).first(
                               static_cast<std::size_t>(std::min<std::uint64_t>(kPageSize, left))));
        }
    }

    std::vector<MemoryRange> ranges_;
    std::map<std::uint64_t, std::unique_ptr<Page>> pages_;
};

// Tells holes as a file system does; holds as little as the guest touched, whatever size it claims.
class SparseStore final : public RamStore {
public:
    explicit SparseStore(const GuestRam& ram) : size_(ram.size()) {
        for (const auto& [number, page] : ram.pages()) {
            if (const auto offset = ram.offset_of(number * kPageSize)) pages_[*offset / kPageSize] = *page;
        }
    }
    [[nodiscard]] std::uint64_t size() const override { return size_; }
    [[nodiscard]] AccessMethod method() const override { return AccessMethod::synthetic; }
    Result<void> read(std::span<StoreReadOp> ops) override {
        for (StoreReadOp& op : ops) {
            op.ok = op.offset <= size_ && size_ - op.offset >= op.out.size();
            op.status = Errc::out_of_range;
            if (op.ok) copy(op.offset, op.out);
        }
        return {};
    }
    [[nodiscard]] std::vector<StoreRange> populated(StoreRange within) override {
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

private:
    void copy(std::uint64_t offset, std::span<std::byte> out) const {
        for (std::size_t done = 0; done < out.size();) {
            const std::uint64_t at = offset + done;
            const std::size_t take = std::min<std::size_t>(kPageSize - at % kPageSize, out.size() - done);
            const auto page = pages_.find(at / kPageSize);
            if (page == pages_.end()) std::memset(out.data() + done, 0, take);
            else std::memcpy(out.data() + done, page->second.data() + at % kPageSize, take);
            done += take;
        }
    }

    std::uint64_t size_;
    std::map<std::uint64_t, GuestRam::Page> pages_;
};

// Stands between a guest and its reader: each read can be refused or changed.
class StoreFilter final : public RamStore {
public:
    explicit StoreFilter(std::shared_ptr<RamStore> inner, AccessMethod method = AccessMethod::synthetic)
        : inner_(std::move(inner)), method_(method) {}
    [[nodiscard]] std::uint64_t size() const override { return inner_->size(); }
    [[nodiscard]] AccessMethod method() const override { return method_; }
    Result<void> read(std::span<StoreReadOp> ops) override {
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
    [[nodiscard]] std::vector<StoreRange> populated(StoreRange within) override { return inner_->populated(within); }
    void new_generation() override { inner_->new_generation(); }

    std::function<bool(std::size_t number, const StoreReadOp&)> refuse;
    std::function<void(std::size_t number, StoreReadOp&)> alter;
    std::size_t operations = 0;
    bool gone = false;

private:
    std::shared_ptr<RamStore> inner_;
    AccessMethod method_;
};

class SyntheticMachine final : public Machine {
public:
    SyntheticMachine(std::shared_ptr<RamStore> store, std::vector<MemoryLayout> layouts,
                     std::vector<VcpuState> vcpus = {})
        : layouts_(std::move(layouts)), memory_(std::move(store), layouts_.front()), registers_(std::move(vcpus)) {
        info_.kind = "made up";
        info_.name = "made-up guest";
    }
    [[nodiscard]] const MachineInfo& info() const override { return info_; }
    [[nodiscard]] GuestMemory& memory() override { return memory_; }
    [[nodiscard]] std::span<const MemoryLayout> layouts() const override { return layouts_; }
    [[nodiscard]] std::span<const InterchangeableParts> interchangeable() const override { return interchangeable_; }
    void take_order_as_proven() override { info_.unproven_order.clear(); }
    [[nodiscard]] VcpuRegisters* registers() override {
        return registers_.states.empty() && !registers_.now ? nullptr : &registers_;
    }
    [[nodiscard]] bool is_live() const override { return live; }
    Result<void> check_alive() override {
        if (alive) return {};
        return Error::with_text(Errc::stale, Origin::source, "made-up guest: it ended");
    }
    // What the vCPUs are at the n-th look, instead of what they were made with.
    void set_registers(std::function<Result<std::vector<VcpuState>>(std::size_t number)> now) {
        registers_.now = std::move(now);
    }
    [[nodiscard]] std::size_t looks() const { return registers_.looks; }
    void set_uncovered(std::string text) { info_.uncovered = std::move(text); }
    void set_interchangeable(std::vector<InterchangeableParts> parts, std::string doubt) {
        interchangeable_ = std::move(parts);
        info_.unproven_order = std::move(doubt);
    }

    bool live = false;
    bool alive = true;

private:
    struct Registers final : VcpuRegisters {
        explicit Registers(std::vector<VcpuState> s) : states(std::move(s)) {}
        Result<std::vector<VcpuState>> read_registers(RegisterSet) override {
            const std::size_t number = looks++;
            return now ? now(number) : states;
        }
        [[nodiscard]] std::string_view route() const override { return "a test"; }
        std::function<Result<std::vector<VcpuState>>(std::size_t number)> now;
        std::size_t looks = 0;
        std::vector<VcpuState> states;
    };
    MachineInfo info_;
    std::vector<MemoryLayout> layouts_;
    std::vector<InterchangeableParts> interchangeable_;
    GuestMemory memory_;
    Registers registers_;
};

}  // namespace vitrine::test
