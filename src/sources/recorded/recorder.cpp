// Recorder: the machine that is read while a recording is made.
#include "vitrine/machine/recorder.h"

#include <optional>
#include <utility>

#include "sources/recorded/recording_state.h"

namespace vitrine {

// Asked once, and for everything: the page tables that the registers lead to are in the recording only if they stay the same.
class Recorder::Registers final : public VcpuRegisters {
public:
    Registers(VcpuRegisters& from, RecordedRegisters& to) : from_(from), to_(to) {}

    Result<std::vector<VcpuState>> read_registers(RegisterSet wanted) override {
        if (!to_.vcpus.empty()) return to_.vcpus;
        auto vcpus = from_.read_registers(RegisterSet::all);
        if (!vcpus && wanted == RegisterSet::control) vcpus = from_.read_registers(wanted);
        if (!vcpus) return vcpus;
        to_.vcpus = *vcpus;
        to_.route = std::string(from_.route());
        return vcpus;
    }
    [[nodiscard]] std::string_view route() const override { return from_.route(); }

private:
    VcpuRegisters& from_;
    RecordedRegisters& to_;
};

class Recorder::View final : public Machine {
public:
    explicit View(State& state) : machine_(state.machine), memory_(state.store, machine_.layouts().front()) {
        if (VcpuRegisters* registers = machine_.registers(); registers != nullptr)
            registers_.emplace(*registers, state.registers);
    }
    [[nodiscard]] const MachineInfo& info() const override { return machine_.info(); }
    [[nodiscard]] GuestMemory& memory() override { return memory_; }
    [[nodiscard]] std::span<const MemoryLayout> layouts() const override { return machine_.layouts(); }
    [[nodiscard]] VcpuRegisters* registers() override { return registers_ ? &*registers_ : nullptr; }
    Result<void> check_alive() override { return machine_.check_alive(); }
    [[nodiscard]] std::span<const InterchangeableParts> interchangeable() const override {
        return machine_.interchangeable();
    }
    void take_order_as_proven() override { machine_.take_order_as_proven(); }

private:
    Machine& machine_;
    GuestMemory memory_;
    std::optional<Registers> registers_;
};

Recorder::Recorder(Machine& machine) : state_(std::make_unique<State>(machine)) {}
Recorder::~Recorder() = default;

std::unique_ptr<Machine> Recorder::machine() { return std::make_unique<View>(*state_); }

}  // namespace vitrine
