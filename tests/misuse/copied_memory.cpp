// expect: (use of deleted function|deleted constructor|deleted function)
// A source of memory is one thing in one place.
#include "vitrine/memory/ram_store.h"

std::uint64_t size_of(const vitrine::GuestMemory& memory) {
#ifdef VITRINE_MISUSE
    const vitrine::GuestMemory other = memory;
#else
    const vitrine::GuestMemory& other = memory;
#endif
    return other.total_size();
}
