// expect: (no matching function|constraints not satisfied)
// A guest's pointer is an address in the guest, never a pointer of ours.
#include "vitrine/memory/address_space.h"

vitrine::Result<vitrine::Gva> next(const vitrine::AddressSpace& space, vitrine::Gva address) {
#ifdef VITRINE_MISUSE
    return vitrine::Gva{reinterpret_cast<std::uint64_t>(VITRINE_TRY(space.read_value<char*>(address)))};
#else
    return space.read_pointer(address);
#endif
}
