// The RAM of a made-up guest: pages that exist once they were written to, and stores and machines over them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vitrine/machine/machine.h"
#include "vitrine/memory/ram_store.h"

namespace vitrine::test {

class GuestRam {
public:
    using Page = std::array<std::byte, kPageSize>;

    explicit GuestRam(std::vector<MemoryRange> ranges) : ranges_(std::move(ranges)) {}

    [[nodiscard]] const std::vector<MemoryRange>& ranges() const { return ranges_; }
    [[nodiscard]] std::uint64_t size() const;
    [[nodiscard]] bool contains(std::uint64_t address) const;

    void write(Gpa address, std::span<const std::byte> bytes);
    template <GuestScalar T>
    void write_value(Gpa address, T value) {
        write(address, std::as_bytes(std::span<const T, 1>(&value, 1)));
    }
    void read(Gpa address, std::span<std::byte> out) const;
    template <GuestScalar T>
    [[nodiscard]] std::optional<T> read_value(Gpa address) const {
        T value{};
        read(address, std::as_writable_bytes(std::span<T, 1>(&value, 1)));
        return value;
    }
    [[nodiscard]] const std::map<std::uint64_t, std::unique_ptr<Page>>& pages() const { return pages_; }

    // Blocks one after the other, as a monitor keeps them and as a raw file in block order has them.
    [[nodiscard]] MemoryLayout layout(bool certain = true) const;
    // nullopt: not RAM.
    [[nodiscard]] std::optional<std::uint64_t> offset_of(std::uint64_t address) const;

    [[nodiscard]] std::vector<std::byte> flat() const;
    // A sparse file in block order.
    void save(const std::string& path) const;

private:
    void for_each_piece(const std::function<void(std::uint64_t offset, std::span<const std::byte> piece)>& visit) const;

    std::vector<MemoryRange> ranges_;
    std::map<std::uint64_t, std::unique_ptr<Page>> pages_;
};

// Tells holes as a file system does; holds as little as the guest touched, whatever size it claims.
class SparseStore final : public RamStore {
public:
    explicit SparseStore(const GuestRam& ram);
    [[nodiscard]] std::uint64_t size() const override { return size_; }
    [[nodiscard]] AccessMethod method() const override { return AccessMethod::synthetic; }
    Result<void> read(std::span<StoreReadOp> ops) override;
    [[nodiscard]] std::vector<StoreRange> populated(StoreRange within) override;

private:
    void copy(std::uint64_t offset, std::span<std::byte> out) const;

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
    Result<void> read(std::span<StoreReadOp> ops) override;
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
                     std::vector<VcpuState> vcpus = {});
    ~SyntheticMachine() override;
    [[nodiscard]] const MachineInfo& info() const override { return info_; }
    [[nodiscard]] GuestMemory& memory() override { return memory_; }
    [[nodiscard]] std::span<const MemoryLayout> layouts() const override { return layouts_; }
    [[nodiscard]] std::span<const InterchangeableParts> interchangeable() const override { return interchangeable_; }
    void take_order_as_proven() override { info_.unproven_order.clear(); }
    [[nodiscard]] VcpuRegisters* registers() override;
    [[nodiscard]] bool is_live() const override { return live; }
    Result<void> check_alive() override;
    // What the vCPUs are at the n-th look, instead of what they were made with.
    void set_registers(std::function<Result<std::vector<VcpuState>>(std::size_t number)> now);
    [[nodiscard]] std::size_t looks() const { return registers_.looks; }
    void set_uncovered(std::string text) { info_.uncovered = std::move(text); }
    void set_interchangeable(std::vector<InterchangeableParts> parts, std::string doubt);

    bool live = false;
    bool alive = true;

private:
    struct Registers final : VcpuRegisters {
        explicit Registers(std::vector<VcpuState> s) : states(std::move(s)) {}
        Result<std::vector<VcpuState>> read_registers(RegisterSet) override;
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
