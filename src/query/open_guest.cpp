#include "vitrine/query/open_guest.h"

namespace vitrine {

Result<std::unique_ptr<Guest>> open_guest(std::string_view target, const OpenOptions& open,
                                          const AttachOptions& attach) {
    const Target parsed = VITRINE_TRY(parse_target(target));
    return Guest::attach(VITRINE_TRY(open_machine(parsed, open)), attach);
}

}  // namespace vitrine
