// expect: (no matching function|could not convert|cannot convert|no viable|no known conversion)
// A guest-virtual address must not be taken for a guest-physical one.
#include "vitrine/memory/physical_memory.h"

vitrine::Result<std::uint64_t> read(vitrine::PhysicalMemory& memory) {
#ifdef VITRINE_MISUSE
    const vitrine::Gva address{0x1000};
#else
    const vitrine::Gpa address{0x1000};
#endif
    return memory.read_value<std::uint64_t>(address);
}
