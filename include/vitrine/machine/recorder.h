// Records what answers are made from: the pages of a machine's memory that were read, and its registers. The file is a target like
// any other image and gives the same answers again (docs/recordings.md has its format).
//
//   Recorder recorder(*machine);
//   auto guest = VITRINE_TRY(Guest::attach(recorder.machine(), {.use_cache = false}));     // a replay has no cache
//   ... ask tables ...
//   auto size = VITRINE_TRY(recorder.save("web1.rec", guest->machine().memory().layout(), facts, {}));
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "vitrine/base/result.h"
#include "vitrine/machine/machine.h"

namespace vitrine {

// Where a recording came from.
struct RecordingFacts {
    std::string target;                // as it was named
    std::string kernel;                // its release
    std::int64_t recorded_at = 0;      // seconds since 1970, UTC
    std::vector<std::string> queries;  // what was asked
};

struct RecordingSize {
    std::size_t pages = 0;         // places in memory
    std::size_t unlike = 0;        // of them, those with bytes of their own: neither zeros nor equal to another
    std::uint64_t file_bytes = 0;  // of the file
};

class Recorder {
public:
    // The machine outlives the recorder.
    explicit Recorder(Machine& machine);
    Recorder(const Recorder&) = delete;
    Recorder& operator=(const Recorder&) = delete;
    ~Recorder();

    // The same machine, standing still: a page, and the registers, stay as they were when first read. The recorder outlives it.
    [[nodiscard]] std::unique_ptr<Machine> machine();

    // Written beside the path and renamed: a failed run leaves nothing, and an older file as it was. The file is for
    // its owner only (guests have secrets). usage: there is a file of that name already, or something that is no file.
    // limit: more was read than a recording can hold.
    struct SaveOptions {
        bool overwrite = false;
        bool small = false;  // a sixth smaller, for ten times the time: seconds
    };
    Result<RecordingSize> save(const std::string& path, const MemoryLayout& layout, const RecordingFacts& facts,
                               SaveOptions options) const;

private:
    class Registers;
    class View;
    struct State;
    std::unique_ptr<State> state_;
};

// Would save() find a place for the file? For asking before anything is read.
Result<void> check_recording_path(const std::string& path, Recorder::SaveOptions options);

}  // namespace vitrine
