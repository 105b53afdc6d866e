#include "sources/kvm/kvm_machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "sources/host/process.h"
#include "sources/kvm/ram_candidates.h"
#include "sources/qemu/backing.h"
#include "sources/qemu/discovery.h"
#include "sources/registers/capabilities.h"

namespace vitrine {

namespace {

class KvmMachine final : public Machine {
public:
    KvmMachine(std::shared_ptr<const HostProcess> process, MachineInfo info, Backing backing,
               std::vector<MemoryLayout> layouts)
        : process_(std::move(process)),
          info_(std::move(info)),
          parts_(std::move(backing.parts)),
          layouts_(std::move(layouts)),
          memory_(std::move(backing.store), layouts_.front()) {}

    void set_capabilities(std::unique_ptr<VcpuRegisters> registers, std::unique_ptr<PauseControl> pausing) {
        registers_ = std::move(registers);
        pausing_ = std::move(pausing);
    }
    // The layouts in which the vCPUs' page tables make most sense first.
    void order_layouts(const std::vector<VcpuState>& vcpus);

    [[nodiscard]] const MachineInfo& info() const override { return info_; }
    [[nodiscard]] GuestMemory& memory() override { return memory_; }
    [[nodiscard]] std::span<const MemoryLayout> layouts() const override { return layouts_; }
    [[nodiscard]] VcpuRegisters* registers() override { return registers_.get(); }
    [[nodiscard]] PauseControl* pause_control() override { return pausing_.get(); }
    [[nodiscard]] bool is_live() const override { return true; }
    Result<void> check_alive() override {
        VITRINE_CHECK(process_->check_alive());
        // A mapping that was only a candidate may go: what is in use must stay.
        const auto& extents = memory_.layout().extents;
        std::vector<HostMapping> used;
        std::uint64_t offset = 0;
        for (const HostMapping& part : parts_) {
            const bool in_use = std::any_of(extents.begin(), extents.end(), [&](const LayoutExtent& e) {
                return e.offset < offset + part.size() && offset < e.offset + e.size;
            });
            if (in_use) used.push_back(part);
            offset += part.size();
        }
        if (are_still_mapped(used, VITRINE_TRY(read_maps_at(*process_, used)))) return {};
        return Error::with_text(Errc::stale, Origin::source,
                                fmt::format("process {} no longer has the guest's RAM where it was", process_->pid()),
                                "attach anew");
    }

private:
    std::shared_ptr<const HostProcess> process_;
    MachineInfo info_;
    std::vector<HostMapping> parts_;  // in the order of the store, without gaps
    std::vector<MemoryLayout> layouts_;
    GuestMemory memory_;
    std::unique_ptr<VcpuRegisters> registers_;
    std::unique_ptr<PauseControl> pausing_;
};

void KvmMachine::order_layouts(const std::vector<VcpuState>& vcpus) {
    std::vector<std::pair<unsigned, MemoryLayout>> ranked;
    for (MemoryLayout& layout : layouts_) {
        memory_.set_layout(layout);
        unsigned reached = 0;
        for (const VcpuState& vcpu : vcpus) reached += count_reachable(memory_, vcpu);
        ranked.emplace_back(reached, std::move(layout));
    }
    std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    if (ranked.front().first == 0) {
        info_.notes.emplace_back(
            "no mapping of the monitor holds the page tables of its vCPUs: all large ones are candidates");
    }
    layouts_.clear();
    for (auto& [reached, layout] : ranked) layouts_.push_back(std::move(layout));
    memory_.set_layout(layouts_.front());
    memory_.new_generation();
}

Error no_machine(const HostProcess& process) {
    return Error::with_text(Errc::usage, Origin::user,
                            fmt::format("process {} ('{}') runs no KVM machine", process.pid(), process.command_name()),
                            "'vitrine list' shows the machines on this host");
}

MachineInfo describe(const HostProcess& process, const Backing& backing) {
    MachineInfo info;
    info.kind = "KVM monitor";
    info.name = process.command_name();
    info.pid = process.pid();
    info.accelerator = "kvm";
    info.backend = backing.description;
    info.notes = backing.notes;
    return info;
}

}  // namespace

Result<std::unique_ptr<Machine>> open_kvm_machine(pid_t pid, const OpenOptions& options) {
    auto process = std::make_shared<const HostProcess>(VITRINE_TRY(HostProcess::open(pid)));
    if (const auto kvm = uses_kvm(*process); kvm && !*kvm) {
        VITRINE_CHECK(process->check_not_ending());
        return no_machine(*process);
    }
    const auto maps = VITRINE_TRY(read_maps(*process));
    const std::vector<RamCandidate> candidates = find_ram_candidates(maps);
    if (candidates.empty()) {
        VITRINE_CHECK(process->check_not_ending());
        return Error::with_text(Errc::not_found, Origin::source,
                                fmt::format("process {} has no mapping that is large enough to be guest RAM", pid));
    }
    std::vector<RamBlock> blocks;
    for (const RamCandidate& c : candidates)
        blocks.push_back({fmt::format("mapping at {:#x}", c.host_start), c.host_start, c.size});
    Backing backing = VITRINE_TRY(make_backing(process, blocks, maps));
    MachineInfo info = describe(*process, backing);

    MonitorFacts facts{pid, true, {}, options, false};
    facts.options.use_qmp = false;
    const std::shared_ptr<Guardian> guardian = make_guardian(facts);
    auto registers = make_registers(facts, guardian);
    std::vector<VcpuState> vcpus;
    if (registers) {
        auto states = registers->read_registers(RegisterSet::control);
        if (states) vcpus = std::move(*states);
        else info.notes.push_back("registers: " + states.error().to_string());
    }
    auto machine = std::make_unique<KvmMachine>(process, std::move(info), std::move(backing),
                                                layouts_of(with_parts(candidates, maps)));
    machine->set_capabilities(std::move(registers), make_pause_control(facts, guardian));
    if (!vcpus.empty()) machine->order_layouts(vcpus);
    VITRINE_CHECK(process->check_alive());
    return std::unique_ptr<Machine>(std::move(machine));
}

}  // namespace vitrine
