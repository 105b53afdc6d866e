// expect: (no matching function|could not convert|cannot convert|no viable|no known conversion)
// A plain number must not become an address by itself.
#include "vitrine/memory/address_space.h"

vitrine::Result<vitrine::Translation> look(const vitrine::AddressSpace& space, std::uint64_t number) {
#ifdef VITRINE_MISUSE
    return space.translate(number);
#else
    return space.translate(vitrine::Gva{number});
#endif
}
