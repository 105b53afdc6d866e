#include "sources/recorded/recorded_machine.h"

#include <fmt/format.h>

#include <ctime>
#include <utility>

#include "sources/recorded/recorded_store.h"

namespace vitrine {
namespace {

std::string time_text(std::int64_t seconds) {
    const std::time_t time = seconds;
    std::tm parts{};
    if (gmtime_r(&time, &parts) == nullptr) return "at an unknown time";
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + std::int64_t{1900}, parts.tm_mon + 1,
                       parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

class RecordedVcpus final : public VcpuRegisters {
public:
    explicit RecordedVcpus(RecordedRegisters registers)
        : vcpus_(std::move(registers.vcpus)), route_("recording of " + registers.route) {}
    Result<std::vector<VcpuState>> read_registers(RegisterSet) override { return vcpus_; }
    [[nodiscard]] std::string_view route() const override { return route_; }

private:
    std::vector<VcpuState> vcpus_;
    std::string route_;
};

class RecordedMachine final : public Machine {
public:
    RecordedMachine(RecordedFile recording, MachineInfo info)
        : info_(std::move(info)),
          layouts_{std::move(recording.index.layout)},
          memory_(std::make_shared<RecordedStore>(recording.index.store_size, std::move(recording.index.pages),
                                                  std::move(recording.contents)),
                  layouts_.front()) {
        if (!recording.index.registers.vcpus.empty())
            registers_ = std::make_unique<RecordedVcpus>(std::move(recording.index.registers));
    }
    [[nodiscard]] const MachineInfo& info() const override { return info_; }
    [[nodiscard]] GuestMemory& memory() override { return memory_; }
    [[nodiscard]] std::span<const MemoryLayout> layouts() const override { return layouts_; }
    [[nodiscard]] VcpuRegisters* registers() override { return registers_.get(); }

private:
    MachineInfo info_;
    std::vector<MemoryLayout> layouts_;
    GuestMemory memory_;
    std::unique_ptr<RecordedVcpus> registers_;
};

}  // namespace

std::unique_ptr<Machine> make_recorded_machine(RecordedFile recording, MachineInfo info) {
    const RecordedIndex& index = recording.index;
    info.notes.push_back(fmt::format("recorded {} of {} ({} {}), Linux {}", time_text(index.facts.recorded_at),
                                     index.facts.target, index.machine_kind, index.machine_name, index.facts.kernel));
    info.notes.push_back(fmt::format("has the answers to: {}", fmt::join(index.facts.queries, ", ")));
    info.uncovered = index.uncovered;
    return std::make_unique<RecordedMachine>(std::move(recording), std::move(info));
}

}  // namespace vitrine
