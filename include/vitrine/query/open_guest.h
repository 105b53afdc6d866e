// From a target's text to a guest, in one step.
//
//   auto guest = VITRINE_TRY(open_guest("qemu:web1"));
//   auto database = VITRINE_TRY(Database::open({{"web1", *guest}}));
#pragma once

#include <memory>
#include <string_view>

#include "vitrine/guest/guest.h"
#include "vitrine/machine/machine.h"

namespace vitrine {

// parse_target(), open_machine() and Guest::attach(); their errors.
Result<std::unique_ptr<Guest>> open_guest(std::string_view target, const OpenOptions& open = {},
                                          const AttachOptions& attach = {});

}  // namespace vitrine
