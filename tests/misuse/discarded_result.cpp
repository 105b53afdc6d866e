// expect: (ignoring return|nodiscard)
// An error must not be dropped by not looking.
#include "vitrine/memory/physical_memory.h"

void wait_for_nothing(vitrine::PhysicalMemory& memory, std::span<vitrine::ReadOp> ops) {
#ifdef VITRINE_MISUSE
    memory.read(ops);
#else
    if (!memory.read(ops)) return;
#endif
}
