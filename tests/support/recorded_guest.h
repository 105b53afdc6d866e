// The recorded kernels in tests/data/recordings: real guests, without booting anything.
//
//   const RecordedGuest recorded("k61");
//   auto guest = recorded.attach();                    // as `vitrine ... k61.rec` does
//   auto over = recorded.attach_over(filter);          // the same memory behind a StoreFilter
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/guest_test_support.h"
#include "vitrine/machine/machine.h"

namespace vitrine::test {

// One of each series of kernels that Vitrine is tested with.
inline constexpr std::array<const char*, 4> kRecordedKernels{"k510", "k61", "k612", "k7"};

class RecordedGuest {
public:
    explicit RecordedGuest(std::string kernel) : kernel_(std::move(kernel)), machine_(open()) {
        auto states = machine_->registers()->read_registers(RegisterSet::all);
        if (!states) throw std::runtime_error(path() + ": " + states.error().to_string());
        vcpus_ = std::move(*states);
    }

    [[nodiscard]] const std::string& kernel() const { return kernel_; }
    [[nodiscard]] std::string path() const { return std::string(VITRINE_TEST_DATA "/recordings/") + kernel_ + ".rec"; }
    [[nodiscard]] std::unique_ptr<Guest> attach() const { return attach_to(open()); }
    [[nodiscard]] std::shared_ptr<StoreFilter> filter() const {
        // The machine stays: the store is its own.
        return std::make_shared<StoreFilter>(std::shared_ptr<RamStore>(machine_, &machine_->memory().store()));
    }
    [[nodiscard]] std::unique_ptr<Guest> attach_over(std::shared_ptr<StoreFilter> filter, bool live = false) const {
        auto machine = std::make_unique<SyntheticMachine>(std::move(filter), std::vector{machine_->memory().layout()},
                                                          vcpus_);
        machine->live = live;
        return attach_to(std::move(machine));
    }

private:
    [[nodiscard]] std::unique_ptr<Machine> open() const {
        auto machine = open_machine({TargetKind::file, path()}, {});
        if (!machine) throw std::runtime_error(path() + ": " + machine.error().to_string());
        return std::move(*machine);
    }
    [[nodiscard]] std::unique_ptr<Guest> attach_to(std::unique_ptr<Machine> machine) const {
        AttachOptions options;
        options.cache_directory = cache_.path;
        auto guest = Guest::attach(std::move(machine), options);
        if (!guest) throw std::runtime_error(path() + ": " + guest.error().to_string());
        return std::move(*guest);
    }

    std::string kernel_;
    TemporaryFolder cache_;  // attaching again and again costs less
    std::shared_ptr<Machine> machine_;
    std::vector<VcpuState> vcpus_;
};

}  // namespace vitrine::test
