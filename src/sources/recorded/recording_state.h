// What a recorder has gathered.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "vitrine/machine/recorder.h"
#include "vitrine/memory/recording_store.h"

namespace vitrine {

struct RecordedRegisters {
    std::vector<VcpuState> vcpus;  // empty: never asked for, or not to be had
    std::string route;
};

struct Recorder::State {
    explicit State(Machine& of)
        : machine(of), store(std::make_shared<RecordingStore>(of.memory().store(), of.layouts().front())) {}
    Machine& machine;
    std::shared_ptr<RecordingStore> store;
    RecordedRegisters registers;
};

}  // namespace vitrine
