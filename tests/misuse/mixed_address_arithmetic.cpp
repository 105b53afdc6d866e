// expect: (no match for|invalid operands)
// Addresses of different spaces have no order between them.
#include "vitrine/base/address.h"

bool below(vitrine::Gva virtual_address, vitrine::Gpa physical_address) {
#ifdef VITRINE_MISUSE
    return virtual_address < physical_address;
#else
    return virtual_address.value < physical_address.value;
#endif
}
