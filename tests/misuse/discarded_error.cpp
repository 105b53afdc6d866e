// expect: (ignoring return|nodiscard)
// An Error that is made and thrown away is a mistake.
#include "vitrine/base/result.h"

vitrine::Error fail() {
#ifdef VITRINE_MISUSE
    vitrine::Error::make(vitrine::Errc::io, vitrine::Origin::user, "opening");
#endif
    return vitrine::Error::make(vitrine::Errc::io, vitrine::Origin::user, "opening");
}
