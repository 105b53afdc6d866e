#include "vitrine/base/walk.h"

namespace vitrine {

std::string_view to_string(WalkEnd end) {
    switch (end) {
        case WalkEnd::complete: return "complete";
        case WalkEnd::stopped: return "stopped";
        case WalkEnd::cycle: return "cyclic";
        case WalkEnd::budget: return "truncated: limit reached";
        case WalkEnd::fault: return "truncated: memory could not be read";
        case WalkEnd::inconsistent: return "torn";
    }
    return "unknown";
}

}  // namespace vitrine
