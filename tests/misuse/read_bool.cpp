// expect: (no matching function|constraints not satisfied)
// A guest can hold a byte that is neither false nor true.
#include "vitrine/memory/address_space.h"

vitrine::Result<bool> flag(const vitrine::AddressSpace& space, vitrine::Gva address) {
#ifdef VITRINE_MISUSE
    return VITRINE_TRY(space.read_value<bool>(address));
#else
    return VITRINE_TRY(space.read_value<std::uint8_t>(address)) != 0;
#endif
}
