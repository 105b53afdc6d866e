// How the parsers of this folder get at a file: by copying, so that they run on any bytes (a file, a fuzzer's input).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vitrine/base/function_ref.h"

namespace vitrine {

struct FileBytes {
    std::uint64_t size = 0;
    // Fills all of out from the offset, or returns false. Called only for ranges inside [0, size).
    FunctionRef<bool(std::uint64_t offset, std::span<std::byte> out)> copy;

    [[nodiscard]] bool read(std::uint64_t offset, std::span<std::byte> out) const {
        return offset <= size && size - offset >= out.size() && copy(offset, out);
    }
};

}  // namespace vitrine
